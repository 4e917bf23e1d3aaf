# Figures: each a notebook run by papermill on one table.
# Needs: results/tables/*.tsv.
# Makes: results/figures/<figure>.{pdf,svg,png,tsv}, results/notebooks/<figure>.ipynb.


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
if DETECTED and len(config["detection"]["scores"]) > 1:
    FIGURES |= {"score_definitions": "score_definitions"}
if MODELS:
    FIGURES |= {"needle_heatmaps": "needle_grid", "masked_curve": "masked_curve", "error_kinds": "error_kinds"}
    FIGURES |= {"copying_head": "copying_head", "case_studies": "case_studies"}
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
    "error_kinds": "What wrong answers are",
    "extract_qa": "Questions about an article",
    "cot_direct": "Chain of thought against direct answers",
    "case_studies": "What wrong answers look like",
    "score_definitions": "Other definitions of a retrieval score",
    "stability": "How many cells a ranking needs",
    "head_locations": "Where retrieval heads live",
    "quirks": "What quirks of the released code change",
    "sum_attention_depths": "General retrieval heads, by depth",
    "sum_attention_lowest": "Masking heads from the lowest attention sum up",
}
if ASKED and "extract_qa" in TASKS:
    FIGURES |= {"extract_qa": "downstream"}
if ASKED and any({"direct", "cot"} <= set(modes) for modes in TASKS.values()):
    FIGURES |= {"cot_direct": "downstream"}
FACT_FIGURES = ["sum_attention_depths", "sum_attention_lowest"] if FACTS else []
FIGURES |= {figure: figure for figure in FACT_FIGURES}


localrules:
    draw_figure,


def get_figure_labels(wildcards):
    """A figure's line in the report: number and title. Two digits, since the report sorts lines as text."""
    return {"figure": f"{1 + list(TITLES).index(wildcards.figure):02d} {TITLES[wildcards.figure]}"}


def get_notebook_code(wildcards):
    """Digest of a figure's notebook and of the code that it imports."""
    return code_digest(BASE / NOTEBOOKS / f"{wildcards.figure}.ipynb", SOURCE)


def all_figures_input():
    """Every figure in every format and the table that it draws, the table of claims, and the pages of the report."""
    figures = expand("results/figures/{figure}.{kind}", figure=FIGURES, kind=["pdf", "svg", "png", "tsv"])
    pages = ["claims", "models", *(["masked_contrast"] if MODELS else [])]
    return [*figures, "results/tables/claims.tsv", *(f"results/tables/{page}.html" for page in pages)]


rule draw_figure:
    input:
        table=lambda wildcards: f"results/tables/{FIGURES[wildcards.figure]}.tsv",
        notebook=lambda wildcards: located(f"{NOTEBOOKS}/{wildcards.figure}.ipynb"),
        style=located(f"{NOTEBOOKS}/matplotlibrc"),
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
