# Figures: each a notebook run by papermill on one table.
# Needs: results/tables/*.tsv, results/<model>/masked/attention.json.
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
# What labels are completed with: the bits of quantised weights, the score of a file made elsewhere.
SAID_OF_MODELS = [
    *(f"results/{model}/model.json" for model in SCORED if model in GGUF_MODELS),
    *expand("results/head_score/{model}.meta.json", model=GIVEN),
]
# What the report calls the figures, in the order in which they are read.
TITLES = {
    "needle_heatmaps": "Recall in the needle test by length and depth, before and after masking",
    "copying_head": "Attention of the best heads at one step of an answer",
    "score_bins": "Share of the heads by mean retrieval score",
    "activation_frequency": "Mean score and share of cells in which a head scores",
    "head_scores": "Mean retrieval score of every head",
    "model_correlation": "Agreement of the head scores of two models",
    "masked_curve": "Success in the needle test by number of masked heads",
    "patched_curve": "Answer restored by patched heads, and success with them masked",
    "error_kinds": "Kinds of response by number of masked heads",
    "extract_qa": "Token F1 of questions about an article",
    "cot_direct": "Score with chain of thought and with direct answers",
    "case_studies": "Responses before and after masking",
    "score_definitions": "Agreement of definitions of the retrieval score",
    "stability": "Top heads in common with other cells, by number of cells",
    "head_locations": "Layers and KV groups of the retrieval heads",
    "head_reach": "Score of the retrieval heads by distance from the answer",
    "quirks": "Scores and success with quirks of the released code",
    "sum_attention_depths": "Questions answered by depth, general heads masked",
    "sum_attention_lowest": "Questions answered with the lowest heads masked",
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
        models=SAID_OF_MODELS,
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
            table=["claims", "models", "head_scores", *(["masked_contrast"] if MODELS else [])],
        ),
        models=SAID_OF_MODELS,
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
        score=config["detection"]["rank_by"],
        settings=get_study_settings,
        config=lambda wildcards: as_param(WRITTEN_CONFIG),
    message:
        "Writing the study on one page: results/study.html"
    script:
        "../scripts/figures/write_study_page.py"
