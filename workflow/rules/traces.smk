# How a copying head works: one decode step of one cell, as a few heads see it.
# Needs: the masked runs of a model with their placed prompts, and results/<model>/ranking.tsv.
# Makes: results/<model>/masked/trace.tsv, results/tables/copying_head.tsv.

# The best heads of each model; beside them, for contrast, the last of its ranking.
TRACED_HEADS = 3


localrules:
    stack,


rule trace:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        haystacks="results/{model}/haystacks.npz",
        placement="results/{model}/{experiment}/placement.tsv",
        pieces="results/{model}/{experiment}/pieces.json",
        runs="results/{model}/{experiment}/runs.tsv",
        ranking="results/{model}/ranking.tsv",
        engine=ENGINE,
        code=core("trace"),
    output:
        "results/{model}/{experiment}/trace.tsv",
    log:
        "logs/{model}/trace_{experiment}.log",
    benchmark:
        "results/benchmarks/{model}/trace_{experiment}.tsv"
    wildcard_constraints:
        experiment="masked",
    conda:
        ENGINE_ENVIRONMENT
    threads: ALL_CORES
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_memory,
        runtime=get_trace_runtime,
    params:
        checkpoint=get_checkpoint,
        spec=get_model_spec,
        top=TRACED_HEADS,
        max_new_tokens=config["prompt"]["max_new_tokens"],
    message:
        "Tracing what the best heads of {wildcards.model} attend to while it answers one cell"
    script:
        "../scripts/trace_heads.py"


rule stack:
    input:
        tables=expand("results/{model}/masked/trace.tsv", model=MODELS),
        code=core("statistics/summaries"),
    output:
        "results/tables/copying_head.tsv",
    log:
        "logs/stack.log",
    conda:
        "../../envs/tables.yaml"
    params:
        models=MODELS,
    message:
        "Stacking the traces of all models"
    script:
        "../scripts/stack.py"
