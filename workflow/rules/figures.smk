# Tables over all models, and the figures that draw them.
# Needs: results/head_score/<model>.json and results/<model>/ranking.tsv of every model with scores; of those that run also
#        results/<model>/masked/{runs.tsv, errors.tsv} and results/tables/copying_head.tsv, and of those measured here
#        results/<model>/detection/{cells.tsv, scores.tsv.gz}.
# Makes: results/tables/*.tsv, results/figures/<figure>.{pdf,svg,png,tsv}, results/notebooks/<figure>.ipynb.


localrules:
    summarise,
    decide,
    exemplify,
    compare,
    contrast,
    plot,


rule summarise:
    input:
        runs=expand("results/{model}/masked/runs.tsv", model=MODELS),
        errors=expand("results/{model}/masked/errors.tsv", model=MODELS),
        code=core(*SUMMARIES, "head_scores", "needle_errors", "pages"),
    output:
        page=report(
            "results/tables/masked_contrast.html",
            caption="../report/masked_contrast.rst",
            category="Masking",
            labels={"model": "all", "table": "against random heads"},
        ),
        error_kinds="results/tables/error_kinds.tsv",
        masked_contrast="results/tables/masked_contrast.tsv",
        masked_curve="results/tables/masked_curve.tsv",
        needle_grid="results/tables/needle_grid.tsv",
    log:
        "logs/summarise.log",
    conda:
        "../../envs/tables.yaml"
    params:
        models=MODELS,
        shown=config["head_sets"]["shown"],
    message:
        "Summarising the masked runs of all models in long tables"
    script:
        "../scripts/summarise.py"


rule exemplify:
    input:
        runs=expand("results/{model}/masked/runs.tsv", model=MODELS),
        errors=expand("results/{model}/masked/errors.tsv", model=MODELS),
        haystacks=HAYSTACKS,
        needles=NEEDLES,
        code=core("case_studies", "needle_errors", "needles", "statistics/summaries"),
    output:
        "results/tables/case_studies.tsv",
    log:
        "logs/exemplify.log",
    conda:
        "../../envs/tables.yaml"
    params:
        models=MODELS,
    message:
        "Choosing a case of each kind of error, and tracing where its words come from"
    script:
        "../scripts/exemplify.py"


rule compare:
    input:
        head_scores=expand("results/head_score/{model}.json", model=SCORED),
        meta=expand("results/head_score/{model}.meta.json", model=SCORED),
        rankings=expand("results/{model}/ranking.tsv", model=SCORED),
        code=core(*OWN_FORMAT, *SUMMARIES, "locations", "pages", "statistics/stability", "statistics/thresholds"),
    output:
        report(
            "results/tables/models.html",
            caption="../report/models.rst",
            category="Head scores",
            labels={"model": "all", "table": "models"},
        ),
        expand(
            "results/tables/{table}.tsv",
            table=[
                "head_locations",
                "head_scores",
                "model_agreement",
                "models",
                "needle_agreement",
                "needle_counts",
                "score_bins",
                "stability",
                "threshold_sweep",
            ],
        ),
    log:
        "logs/compare.log",
    conda:
        "../../envs/tables.yaml"
    params:
        models=SCORED,
        k=config["head_sets"]["shown"],
        threshold=config["detection"]["threshold"],
    message:
        "Comparing the head scores of all models"
    script:
        "../scripts/compare.py"


rule contrast:
    input:
        cells=expand("results/{model}/detection/cells.tsv", model=DETECTED),
        scores=expand("results/{model}/detection/scores.tsv.gz", model=DETECTED),
        code=core(*SUMMARIES, "head_scores", "statistics/score_definitions"),
    output:
        "results/tables/score_definitions.tsv",
    log:
        "logs/contrast.log",
    conda:
        "../../envs/tables.yaml"
    params:
        models=DETECTED,
        scores=config["detection"]["scores"],
        k=config["head_sets"]["shown"],
    message:
        "Contrasting the definitions of a retrieval score"
    script:
        "../scripts/contrast.py"


rule decide:
    input:
        **({part: f"results/tables/{part}.tsv" for part in ("masked_curve", "masked_contrast")} if MODELS else {}),
        head_scores="results/tables/head_scores.tsv",
        threshold_sweep="results/tables/threshold_sweep.tsv",
        model_agreement="results/tables/model_agreement.tsv",
        code=core("claims", "pages"),
    output:
        table="results/tables/claims.tsv",
        page=report(
            "results/tables/claims.html",
            caption="../report/claims.rst",
            category="Claims",
            labels={"model": "all", "table": "claims"},
        ),
    log:
        "logs/decide.log",
    conda:
        "../../envs/tables.yaml"
    params:
        settings=lambda wildcards: as_param(
            {
                "families": FAMILIES,
                "threshold": config["detection"]["threshold"],
                "k": config["head_sets"]["shown"],
            }
        ),
    message:
        "Putting the numbers that decide the paper's five claims side by side"
    script:
        "../scripts/decide.py"


rule plot:
    input:
        table=lambda wildcards: f"results/tables/{FIGURES[wildcards.figure]}.tsv",
        notebook=lambda wildcards: located(f"{NOTEBOOKS}/{wildcards.figure}.ipynb"),
        style=located(f"{NOTEBOOKS}/matplotlibrc"),
        code=core("notebooks", "plotting"),
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
        "logs/plot/{figure}.log",
    wildcard_constraints:
        figure="|".join(FIGURES),
    conda:
        "../../envs/tables.yaml"
    params:
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
        "../scripts/plot.py"
