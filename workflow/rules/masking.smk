# The proof: the same question asked with chosen heads masked, over needles that detection has not seen.
# Needs: results/<model>/ranking.tsv and the placed prompts of the masked runs.
# Makes: results/<model>/head_sets.json, results/<model>/masked/runs.tsv.


localrules:
    select,


rule select:
    message:
        "Choosing the head sets of {wildcards.model}: the top, and random ones as controls"
    input:
        ranking="results/{model}/ranking.tsv",
        code=core("head_sets"),
    output:
        "results/{model}/head_sets.json",
    params:
        settings=lambda wildcards: as_param(
            {key: config["head_sets"][key] for key in ("sizes", "random_draws", "seed", "layer_matched", "bottom")}
        ),
        threshold=config["detection"]["threshold"],
    log:
        "logs/{model}/select.log",
    conda:
        "../../envs/tables.yaml"
    script:
        "../scripts/select_heads.py"


def get_head_sets(wildcards):
    """The head sets of a study come from the ranking; those of the calibration from the phantom's plan."""
    own = "calibration/" if wildcards.experiment == "calibration" else ""
    return f"results/{wildcards.model}/{own}head_sets.json"


rule mask:
    message:
        "Asking {wildcards.model} again with heads masked, {wildcards.experiment} cells"
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        haystacks="results/{model}/haystacks.npz",
        placement="results/{model}/{experiment}/placement.tsv",
        pieces="results/{model}/{experiment}/pieces.json",
        needles=NEEDLES,
        head_sets=get_head_sets,
        engine=ENGINE,
        code=core("niah"),
    output:
        runs="results/{model}/{experiment}/runs.tsv",
    params:
        checkpoint=get_checkpoint,
        spec=get_model_spec,
        max_new_tokens=config["prompt"]["max_new_tokens"],
        masking=lambda wildcards: as_param({key: config["masked"][key] for key in ("mode", "scope", "unit")}),
        batch=config["masked"]["batch"],
        success_recall=config["detection"]["success_recall"],
    wildcard_constraints:
        experiment="masked|calibration",
    threads: workflow.cores or 1
    resources:
        gpu=get_gpus,
        nodes=1,
    log:
        "logs/{model}/mask_{experiment}.log",
    benchmark:
        "results/benchmarks/{model}/mask_{experiment}.tsv"
    conda:
        "../../envs/models.yaml"
    script:
        "../scripts/mask.py"
