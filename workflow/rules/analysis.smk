# Tables over all models: head scores compared, masked runs summarized, the claims of the paper evaluated.
# Needs: results/head_score/<model>.json and results/<model>/ranking.tsv of every model with scores; of those that run also
#        results/<model>/masked/{runs.tsv, errors.tsv, trace.tsv}, and of those measured here
#        results/<model>/detection/{cells.tsv, scores.tsv.gz}; results/tables/patched_curve.tsv where heads are patched.
# Makes: results/tables/*.tsv, and of those that are read also *.html.


localrules:
    compare_models,
    compare_scores,
    summarize_masking,
    select_examples,
    combine_traces,
    evaluate_claims,
    measure_reach,


rule compare_models:
    input:
        head_scores=expand("results/head_score/{model}.json", model=SCORED),
        meta=expand("results/head_score/{model}.meta.json", model=SCORED),
        rankings=expand("results/{model}/ranking.tsv", model=SCORED),
    output:
        models_page=report(
            "results/tables/models.html",
            caption="../report/models.rst",
            category="Head scores",
            labels={"model": "all", "table": "models"},
        ),
        heads_page=report(
            "results/tables/best_heads.html",
            caption="../report/best_heads.rst",
            category="Head scores",
            labels={"model": "all", "table": "best heads"},
        ),
        tables=expand(
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
        "logs/compare_models.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("analysis/compare_models"),
        models=SCORED,
        k=config["head_sets"]["shown"],
        threshold=config["detection"]["threshold"],
    message:
        "Comparing the head scores of all models"
    script:
        "../scripts/analysis/compare_models.py"


rule compare_scores:
    input:
        cells=expand("results/{model}/detection/cells.tsv", model=DETECTED),
        scores=expand("results/{model}/detection/scores.tsv.gz", model=DETECTED),
    output:
        "results/tables/score_definitions.tsv",
    log:
        "logs/compare_scores.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("analysis/compare_scores"),
        models=DETECTED,
        scores=config["detection"]["scores"],
        k=config["head_sets"]["shown"],
    message:
        "Comparing the definitions of the retrieval score"
    script:
        "../scripts/analysis/compare_scores.py"


rule measure_reach:
    input:
        cells=expand("results/{model}/detection/cells.tsv", model=DETECTED),
        scores=expand("results/{model}/detection/scores.tsv.gz", model=DETECTED),
        rankings=expand("results/{model}/ranking.tsv", model=DETECTED),
        info=expand("results/{model}/model.json", model=DETECTED),
    output:
        "results/tables/head_reach.tsv",
    log:
        "logs/measure_reach.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("analysis/measure_reach"),
        models=DETECTED,
        score=config["detection"]["rank_by"],
        threshold=config["detection"]["threshold"],
    message:
        "Measuring over which distances the heads of all models retrieve"
    script:
        "../scripts/analysis/measure_reach.py"


rule summarize_masking:
    input:
        runs=expand("results/{model}/masked/runs.tsv", model=MODELS),
        errors=expand("results/{model}/masked/errors.tsv", model=MODELS),
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
        "logs/summarize_masking.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("analysis/summarize_masking"),
        models=MODELS,
        shown=config["head_sets"]["shown"],
    message:
        "Summarizing the masked runs of all models"
    script:
        "../scripts/analysis/summarize_masking.py"


rule select_examples:
    input:
        runs=expand("results/{model}/masked/runs.tsv", model=MODELS),
        errors=expand("results/{model}/masked/errors.tsv", model=MODELS),
        haystacks=HAYSTACKS,
        needles=NEEDLES,
    output:
        "results/tables/case_studies.tsv",
    log:
        "logs/select_examples.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("analysis/select_examples"),
        models=MODELS,
    message:
        "Selecting an example of each kind of error"
    script:
        "../scripts/analysis/select_examples.py"


rule combine_traces:
    input:
        tables=expand("results/{model}/masked/trace.tsv", model=MODELS),
    output:
        "results/tables/copying_head.tsv",
    log:
        "logs/combine_traces.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("analysis/combine_traces"),
        models=MODELS,
    message:
        "Combining the attention traces of all models"
    script:
        "../scripts/analysis/combine_traces.py"


rule evaluate_claims:
    input:
        **({part: f"results/tables/{part}.tsv" for part in ("masked_curve", "masked_contrast")} if MODELS else {}),
        **({"patched_curve": "results/tables/patched_curve.tsv"} if PATCHED_MODELS else {}),
        head_scores="results/tables/head_scores.tsv",
        threshold_sweep="results/tables/threshold_sweep.tsv",
        model_agreement="results/tables/model_agreement.tsv",
    output:
        table="results/tables/claims.tsv",
        page=report(
            "results/tables/claims.html",
            caption="../report/claims.rst",
            category="Claims",
            labels={"model": "all", "table": "claims"},
        ),
    log:
        "logs/evaluate_claims.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("analysis/evaluate_claims"),
        settings=lambda wildcards: as_param(
            {
                "families": FAMILIES,
                "threshold": config["detection"]["threshold"],
                "k": config["head_sets"]["shown"],
            }
        ),
    message:
        "Evaluating the paper's five claims"
    script:
        "../scripts/analysis/evaluate_claims.py"
