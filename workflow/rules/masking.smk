# The proof: the same question asked with chosen heads masked, over needles that detection has not seen.
# Needs: results/<model>/ranking.tsv and the placed prompts of the masked runs.
# Makes: results/<model>/head_sets.json, results/<model>/masked/{runs.tsv, errors.tsv}.


localrules:
    select,
    label,


rule select:
    input:
        ranking="results/{model}/ranking.tsv",
        code=core("head_sets"),
        quirks=get_quirk_code,
    output:
        "results/{model}/head_sets.json",
    log:
        "logs/{model}/select.log",
    conda:
        "../../envs/tables.yaml"
    params:
        settings=lambda wildcards: as_param(
            {key: config["head_sets"][key] for key in ("sizes", "random_draws", "seed", "layer_matched", "bottom")}
        ),
        threshold=config["detection"]["threshold"],
        quirks=get_quirks("select"),
    message:
        "Choosing the head sets of {wildcards.model}: the top, and random ones as controls"
    script:
        "../scripts/select_heads.py"


rule mask:
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
        quirks=get_quirk_code,
        shards=get_shards,
    output:
        runs="results/{model}/{experiment}/runs.tsv",
    log:
        "logs/{model}/mask_{experiment}.log",
    benchmark:
        "results/benchmarks/{model}/mask_{experiment}.tsv"
    wildcard_constraints:
        experiment="masked|calibration",
    conda:
        ENGINE_ENVIRONMENT
    threads: ALL_CORES
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_memory,
        runtime=get_runtime,
    params:
        checkpoint=get_checkpoint,
        spec=get_model_spec,
        folder=get_folder,
        needle=get_shard,
        max_new_tokens=config["prompt"]["max_new_tokens"],
        masking=get_masking,
        batch=config["masked"]["batch"],
        success_recall=config["detection"]["success_recall"],
        quirks=get_quirks("mask"),
    message:
        "Asking {wildcards.model} again with heads masked, {wildcards.experiment} cells"
    script:
        "../scripts/mask.py"


# The cells of one needle, where `models.<name>.shards` asks for a job each; `mask` then finds them done.
use rule mask as mask_shard with:
    output:
        runs="results/{model}/{experiment}/shards/{needle}.runs.tsv",
    log:
        "logs/{model}/mask_{experiment}_{needle}.log",
    benchmark:
        "results/benchmarks/{model}/mask_{experiment}_{needle}.tsv"
    message:
        "Asking {wildcards.model} again with heads masked, {wildcards.experiment} cells of the needle {wildcards.needle}"


rule label:
    input:
        runs="results/{model}/masked/runs.tsv",
        haystacks=HAYSTACKS,
        needles=NEEDLES,
        code=core("needle_errors"),
    output:
        "results/{model}/masked/errors.tsv",
    log:
        "logs/{model}/label.log",
    conda:
        "../../envs/tables.yaml"
    message:
        "Labelling the errors of {wildcards.model} with heads masked"
    script:
        "../scripts/label.py"
