# Head sets to be masked: chosen from a ranking with random controls, or imported; and checkpoints without a head set.
# Needs: results/<model>/ranking.tsv, or config `models.<name>.head_sets` and its file.
# Makes: results/<model>/head_sets.json, results/masked_checkpoints/<model>/<head set>/.


localrules:
    select_head_sets,
    import_head_sets,


# Given head sets need no ranking, hence no detection.
ruleorder: import_head_sets > select_head_sets


rule select_head_sets:
    input:
        ranking="results/{model}/ranking.tsv",
    output:
        "results/{model}/head_sets.json",
    log:
        "logs/{model}/select_head_sets.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("head_sets/select_head_sets"),
        settings=lambda wildcards: as_param(
            {key: config["head_sets"][key] for key in ("sizes", "random_draws", "seed", "layer_matched", "bottom")}
        ),
        threshold=config["detection"]["threshold"],
        quirks=get_quirks("select"),
    message:
        "Selecting the head sets of {wildcards.model}: top heads, and random heads as controls"
    script:
        "../scripts/head_sets/select_head_sets.py"


rule import_head_sets:
    input:
        file=lambda wildcards: located(config["models"][wildcards.model]["head_sets"]),
        model="results/{model}/model.json",
    output:
        "results/{model}/head_sets.json",
    log:
        "logs/{model}/import_head_sets.log",
    wildcard_constraints:
        model="|".join(model for model in MODELS if "head_sets" in config["models"][model]) or "no-given-head-sets",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("head_sets/import_head_sets"),
    message:
        "Importing the head sets of {wildcards.model}"
    script:
        "../scripts/head_sets/import_head_sets.py"


rule export_masked_model:
    input:
        checkpoint=get_checkpoint_files,
        head_sets="results/{model}/head_sets.json",
    output:
        directory("results/masked_checkpoints/{model}/{head_set}"),
    log:
        "logs/{model}/export_masked_model_{head_set}.log",
    wildcard_constraints:
        head_set="[A-Za-z0-9][A-Za-z0-9._-]*",
    conda:
        "../../envs/models.yaml"
    resources:
        mem_mb=get_export_memory,
        runtime=get_export_runtime,
    params:
        code=get_code("head_sets/export_masked_model"),
        checkpoint=get_checkpoint,
        spec=get_model_spec,
        unit=config["masked"]["unit"],
    message:
        "Writing a checkpoint of {wildcards.model} with the heads of {wildcards.head_set} zeroed"
    script:
        "../scripts/head_sets/export_masked_model.py"
