# Head scores: aggregated from the cells measured here, or imported from files made elsewhere; exported in other formats.
# Needs: results/<model>/detection/{cells.tsv, scores.tsv.gz}; for imports config `head_scores` and its files.
# Makes: results/head_score/<model>.json with its sidecar, results/<model>/ranking.tsv,
#        results/exports/<model>/{envelope.json, qrhead.json, full_attention_heads.tsv}.


localrules:
    aggregate_scores,
    import_scores,
    export_scores,
    export_all_scores,


# A model with given scores is not measured, though it may have a checkpoint to be masked.
ruleorder: import_scores > aggregate_scores


rule aggregate_scores:
    input:
        cells="results/{model}/detection/cells.tsv",
        scores="results/{model}/detection/scores.tsv.gz",
        model="results/{model}/model.json",
    output:
        head_score="results/head_score/{model}.json",
        meta="results/head_score/{model}.meta.json",
        ranking="results/{model}/ranking.tsv",
    log:
        "logs/{model}/aggregate_scores.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("head_scores/aggregate_scores"),
        score=get_ranking_score,
        threshold=config["detection"]["threshold"],
    message:
        "Aggregating the cells of {wildcards.model} into its head scores"
    script:
        "../scripts/head_scores/aggregate_scores.py"


rule import_scores:
    input:
        files=get_given_files,
    output:
        head_score="results/head_score/{model}.json",
        meta="results/head_score/{model}.meta.json",
        ranking="results/{model}/ranking.tsv",
    log:
        "logs/{model}/import_scores.log",
    wildcard_constraints:
        model="|".join(GIVEN) or "no-given-model",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("head_scores/import_scores"),
        entry=lambda wildcards: as_param(
            {key: config["head_scores"]["models"][wildcards.model].get(key) for key in ("format", "group_size")}
        ),
        threshold=config["detection"]["threshold"],
    message:
        "Importing the head scores of {wildcards.model}"
    script:
        "../scripts/head_scores/import_scores.py"


rule export_scores:
    input:
        head_score="results/head_score/{model}.json",
        meta="results/head_score/{model}.meta.json",
    output:
        "results/exports/{model}/{file}",
    log:
        "logs/{model}/export_scores_{file}.log",
    wildcard_constraints:
        file="envelope.json|qrhead.json|full_attention_heads.tsv",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("head_scores/export_scores"),
    message:
        "Exporting the head scores of {wildcards.model} as {wildcards.file}"
    script:
        "../scripts/head_scores/export_scores.py"


rule export_all_scores:
    input:
        exports_input(),
    message:
        "All head scores are exported: results/exports"
