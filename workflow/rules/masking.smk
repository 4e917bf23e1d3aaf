# Masked needle runs: every cell answered again with chosen heads masked, over needles that detection has not seen.
# Needs: results/<model>/head_sets.json, a checkpoint and the placed prompts of the masked runs.
# Makes: results/<model>/masked/{runs.tsv, errors.tsv, trace.tsv, attention.json}.


# The best heads of each model; beside them, for contrast, the last of its ranking.
TRACED_HEADS = 3


localrules:
    classify_errors,


rule run_masked_niah:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        haystacks="results/{model}/haystacks.npz",
        placement="results/{model}/{experiment}/placement.tsv",
        pieces="results/{model}/{experiment}/pieces.json",
        needles=NEEDLES,
        head_sets=get_head_sets,
        shards=get_shards,
    output:
        runs="results/{model}/{experiment}/runs.tsv",
    log:
        "logs/{model}/run_masked_niah_{experiment}.log",
    benchmark:
        "results/benchmarks/{model}/run_masked_niah_{experiment}.tsv"
    wildcard_constraints:
        experiment="masked|calibration",
    conda:
        ENGINE_ENVIRONMENT
    threads: MODEL_THREADS
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_memory,
        runtime=get_runtime,
    params:
        code=get_code("masking/run_masked_niah"),
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
        "Running the needle test of {wildcards.model} with heads masked, {wildcards.experiment} cells"
    script:
        "../scripts/masking/run_masked_niah.py"


# The cells of one needle, where `models.<name>.shards` asks for a job each; `run_masked_niah` then finds them done.
use rule run_masked_niah as run_masked_niah_shard with:
    output:
        runs="results/{model}/{experiment}/shards/{needle}.runs.tsv",
    log:
        "logs/{model}/run_masked_niah_shard_{experiment}_{needle}.log",
    benchmark:
        "results/benchmarks/{model}/run_masked_niah_shard_{experiment}_{needle}.tsv"
    message:
        "Running the needle test of {wildcards.model} with heads masked, {wildcards.experiment} cells of the needle {wildcards.needle}"


rule classify_errors:
    input:
        runs="results/{model}/masked/runs.tsv",
        haystacks=HAYSTACKS,
        needles=NEEDLES,
    output:
        "results/{model}/masked/errors.tsv",
    log:
        "logs/{model}/classify_errors.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("masking/classify_errors"),
    message:
        "Classifying the errors of {wildcards.model} with heads masked"
    script:
        "../scripts/masking/classify_errors.py"


rule trace_attention:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        haystacks="results/{model}/haystacks.npz",
        placement="results/{model}/{experiment}/placement.tsv",
        pieces="results/{model}/{experiment}/pieces.json",
        runs="results/{model}/{experiment}/runs.tsv",
        ranking="results/{model}/ranking.tsv",
    output:
        table="results/{model}/{experiment}/trace.tsv",
        patterns="results/{model}/{experiment}/attention.json",
    log:
        "logs/{model}/trace_attention_{experiment}.log",
    benchmark:
        "results/benchmarks/{model}/trace_attention_{experiment}.tsv"
    wildcard_constraints:
        experiment="masked",
    conda:
        ENGINE_ENVIRONMENT
    threads: MODEL_THREADS
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_memory,
        runtime=get_trace_runtime,
    params:
        code=get_code("masking/trace_attention"),
        checkpoint=get_checkpoint,
        spec=get_model_spec,
        top=TRACED_HEADS,
        max_new_tokens=config["prompt"]["max_new_tokens"],
    message:
        "Tracing the attention of the best heads of {wildcards.model}"
    script:
        "../scripts/masking/trace_attention.py"
