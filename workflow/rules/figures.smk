# Tables over all models, and the figures that draw them.
# Needs: results/<model>/ranking.tsv and results/<model>/masked/runs.tsv of every model.
# Makes: results/tables/*.tsv, results/figures/<figure>.{pdf,svg,png,tsv}, results/notebooks/<figure>.ipynb.

# Figure -> the table that it draws.
FIGURES = {
    "needle_heatmaps": "needle_grid",
    "head_scores": "head_scores",
    "score_bins": "score_bins",
    "masked_curve": "masked_curve",
}
NOTEBOOKS = "workflow/notebooks"


localrules:
    summarise,


def all_figures_input():
    """Every figure in every format, and the table that it draws."""
    return expand("results/figures/{figure}.{kind}", figure=FIGURES, kind=["pdf", "svg", "png", "tsv"])


rule summarise:
    message:
        "Summarising all models in long tables"
    input:
        rankings=expand("results/{model}/ranking.tsv", model=MODELS),
        runs=expand("results/{model}/masked/runs.tsv", model=MODELS),
        code=core("head_scores", "masked_curves", "summaries"),
    output:
        expand("results/tables/{table}.tsv", table=sorted(set(FIGURES.values()))),
    params:
        models=MODELS,
        shown=config["head_sets"]["shown"],
    log:
        "logs/summarise.log",
    conda:
        "../../envs/tables.yaml"
    script:
        "../scripts/summarise.py"


rule plot:
    message:
        "Drawing {wildcards.figure}"
    input:
        table=lambda wildcards: f"results/tables/{FIGURES[wildcards.figure]}.tsv",
        notebook=lambda wildcards: located(f"{NOTEBOOKS}/{wildcards.figure}.ipynb"),
        style=located(f"{NOTEBOOKS}/matplotlibrc"),
        code=core("plotting"),
    output:
        svg=report(
            "results/figures/{figure}.svg",
            caption="../report/{figure}.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        others=expand("results/figures/{{figure}}.{kind}", kind=["pdf", "png", "tsv"]),
        notebook="results/notebooks/{figure}.ipynb",
    params:
        labels=lambda wildcards: as_param(LABELS),
        settings=lambda wildcards: as_param({"threshold": config["detection"]["threshold"], "score": config["detection"]["rank_by"]}),
    wildcard_constraints:
        figure="|".join(FIGURES),
    log:
        "logs/plot/{figure}.log",
    conda:
        "../../envs/tables.yaml"
    script:
        "../scripts/plot.py"
