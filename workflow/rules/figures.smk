# Figures: each a notebook run by papermill on one table.
# Needs: results/tables/*.tsv.
# Makes: results/figures/<figure>.{pdf,svg,png,tsv}, results/notebooks/<figure>.ipynb, results/study.html.


include: "lookups/figures.smk"


# Figure -> the table that it draws.
FIGURES = {
    "head_scores": "head_scores",
    "score_bins": "score_bins",
    "head_locations": "head_locations",
}
# Files of means know nothing of single cells.
OF_MEANS = [model for model in GIVEN if config["head_scores"]["models"][model]["format"] in ("qrhead", "duoattention")]
if len(OF_MEANS) < len(SCORED):
    FIGURES |= {"activation_frequency": "head_scores", "stability": "stability"}
if len(set(FAMILIES.values())) < len(SCORED):
    FIGURES |= {"model_correlation": "model_agreement"}
if DETECTED:
    FIGURES |= {"head_reach": "head_reach"}
if DETECTED and len(config["detection"]["scores"]) > 1:
    FIGURES |= {"score_definitions": "score_definitions"}
if MODELS:
    FIGURES |= {"needle_heatmaps": "needle_grid", "masked_curve": "masked_curve", "error_kinds": "error_kinds"}
    FIGURES |= {"copying_head": "copying_head", "case_studies": "case_studies"}
if PATCHED_MODELS:
    FIGURES |= {"patched_curve": "patched_curve"}
if QUIRKED:
    FIGURES |= {"quirks": "quirks"}
NOTEBOOKS = "workflow/notebooks"
# What the report calls the figures, in the order in which they are read.
TITLES = {
    "needle_heatmaps": "The needle test, before and after masking",
    "copying_head": "How a copying head works",
    "score_bins": "How few heads retrieve",
    "activation_frequency": "How often a head retrieves",
    "head_scores": "Which heads retrieve",
    "model_correlation": "Do models have the same retrieval heads?",
    "masked_curve": "What masking does",
    "patched_curve": "What heads bring back, and what goes without them",
    "error_kinds": "What wrong answers are",
    "extract_qa": "Questions about an article",
    "cot_direct": "Chain of thought against direct answers",
    "case_studies": "What wrong answers look like",
    "score_definitions": "Other definitions of a retrieval score",
    "stability": "How many cells a ranking needs",
    "head_locations": "Where retrieval heads live",
    "head_reach": "How far a head reaches",
    "quirks": "What quirks of the released code change",
    "sum_attention_depths": "General retrieval heads, by depth",
    "sum_attention_lowest": "Masking heads from the lowest attention sum up",
}
if ASKED and "extract_qa" in TASKS:
    FIGURES |= {"extract_qa": "downstream"}
if ASKED and any({"direct", "cot"} <= set(modes) for modes in TASKS.values()):
    FIGURES |= {"cot_direct": "downstream"}
FIGURES |= {figure: figure for figure in FACT_FIGURES}


localrules:
    draw_figure,
    write_study_page,


rule draw_figure:
    input:
        table=lambda wildcards: f"results/tables/{FIGURES[wildcards.figure]}.tsv",
        notebook=lambda wildcards: located(f"{NOTEBOOKS}/{wildcards.figure}.ipynb"),
        style=located(f"{NOTEBOOKS}/matplotlibrc"),
        # Labels say so where the weights of a model's file are quantised.
        models=[f"results/{model}/model.json" for model in SCORED if model in GGUF_MODELS],
    output:
        svg=report(
            "results/figures/{figure}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels=get_figure_labels,
        ),
        others=expand("results/figures/{{figure}}.{kind}", kind=["pdf", "png", "tsv"]),
        notebook="results/notebooks/{figure}.ipynb",
    log:
        "logs/draw_figure/{figure}.log",
    wildcard_constraints:
        figure="|".join(FIGURES),
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("figures/draw_figure"),
        notebook_code=get_notebook_code,
        labels=lambda wildcards: as_param(LABELS),
        settings=lambda wildcards: as_param(
            {
                "threshold": config["detection"]["threshold"],
                "score": config["detection"]["rank_by"],
                "families": FAMILIES,
            }
        ),
    message:
        "Drawing {wildcards.figure}"
    script:
        "../scripts/figures/draw_figure.py"


rule write_study_page:
    input:
        figures=expand("results/figures/{figure}.svg", figure=[name for name in TITLES if name in FIGURES]),
        tables=expand(
            "results/tables/{table}.tsv",
            table=["models", "head_scores", "threshold_sweep", *(["masked_curve"] if MODELS else [])],
        ),
        claims="results/tables/claims.tsv",
        patterns=expand("results/{model}/masked/attention.json", model=MODELS),
        captions=located("workflow/report/figure.rst"),
        template=located("workflow/report/study.html.j2"),
    output:
        "results/study.html",
    log:
        "logs/write_study_page.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("figures/write_study_page"),
        labels=lambda wildcards: as_param({model: LABELS[model] for model in SCORED}),
        # In the order in which they are read: as JSON, so that the order counts.
        titles=lambda wildcards: json.dumps({name: TITLES[name] for name in TITLES if name in FIGURES}),
        threshold=config["detection"]["threshold"],
        k=config["head_sets"]["shown"],
        settings=get_study_settings,
        config=lambda wildcards: as_param(WRITTEN_CONFIG),
    message:
        "Writing the study on one page: results/study.html"
    script:
        "../scripts/figures/write_study_page.py"
