# Detection: retrieval scores of every head, while the model answers every cell.
# Needs: a checkpoint and its placed prompts.
# Makes: results/<model>/<experiment>/{cells/*.tsv, cells.tsv, scores.tsv.gz} and, where asked for, steps.tsv.gz.


rule detect_heads:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        haystacks="results/{model}/haystacks.npz",
        placement="results/{model}/{experiment}/placement.tsv",
        pieces="results/{model}/{experiment}/pieces.json",
        needles=NEEDLES,
        shards=get_shards,
    output:
        **steps_output("results/{model}/{experiment}/steps.tsv.gz"),
        cells="results/{model}/{experiment}/cells.tsv",
        scores="results/{model}/{experiment}/scores.tsv.gz",
    log:
        "logs/{model}/detect_heads_{experiment}.log",
    benchmark:
        "results/benchmarks/{model}/detect_heads_{experiment}.tsv"
    wildcard_constraints:
        experiment="detection|calibration",
    # Most other jobs wait for it.
    priority: 1
    conda:
        ENGINE_ENVIRONMENT
    threads: MODEL_THREADS
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_memory,
        runtime=get_runtime,
    params:
        code=get_code("detection/detect_heads"),
        checkpoint=get_checkpoint,
        spec=get_model_spec,
        folder=get_folder,
        needle=get_shard,
        max_new_tokens=config["prompt"]["max_new_tokens"],
        scores=config["detection"]["scores"],
        steps=config["detection"]["steps"],
        success_recall=config["detection"]["success_recall"],
        quirks=get_quirks("detect"),
    message:
        "Detecting retrieval heads of {wildcards.model}, {wildcards.experiment} cells"
    script:
        "../scripts/detection/detect_heads.py"


# The cells of one needle, where `models.<name>.shards` asks for a job each; `detect_heads` then finds them done.
use rule detect_heads as detect_heads_shard with:
    output:
        **steps_output("results/{model}/{experiment}/shards/{needle}.steps.tsv.gz"),
        cells="results/{model}/{experiment}/shards/{needle}.cells.tsv",
        scores="results/{model}/{experiment}/shards/{needle}.scores.tsv.gz",
    log:
        "logs/{model}/detect_heads_shard_{experiment}_{needle}.log",
    benchmark:
        "results/benchmarks/{model}/detect_heads_shard_{experiment}_{needle}.tsv"
    message:
        "Detecting retrieval heads of {wildcards.model}, {wildcards.experiment} cells of the needle {wildcards.needle}"
