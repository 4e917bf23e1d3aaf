# Retrieval scores of every head, and the file that other tools read.
# Needs: a checkpoint and its placed prompts.
# Makes: results/<model>/<experiment>/{cells/*.tsv, cells.tsv, scores.tsv.gz} and on demand steps.tsv.gz;
#        results/head_score/<model>.json with its sidecar, results/<model>/ranking.tsv.

ENGINE = core(
    "architecture",
    "attention",
    "cell_store",
    "engine/branch",
    "engine/continuation",
    "engine/contributions",
    "engine/decoding",
    "engine/prefix_cache",
    "engine/probe",
    "engine/rows",
    "haystack",
    "masking",
    "models",
    "placement",
    "refusals",
    "scoring",
)


localrules:
    merge,


rule detect:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        haystacks="results/{model}/haystacks.npz",
        placement="results/{model}/{experiment}/placement.tsv",
        pieces="results/{model}/{experiment}/pieces.json",
        needles=NEEDLES,
        engine=ENGINE,
        code=core("detect", "engine/drafts", "engine/side_by_side"),
        quirks=get_quirk_code,
        shards=get_shards,
    output:
        **steps_output("results/{model}/{experiment}/steps.tsv.gz"),
        cells="results/{model}/{experiment}/cells.tsv",
        scores="results/{model}/{experiment}/scores.tsv.gz",
    log:
        "logs/{model}/detect_{experiment}.log",
    benchmark:
        "results/benchmarks/{model}/detect_{experiment}.tsv"
    wildcard_constraints:
        experiment="detection|calibration",
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
        scores=config["detection"]["scores"],
        steps=config["detection"]["steps"],
        success_recall=config["detection"]["success_recall"],
        quirks=get_quirks("detect"),
    message:
        "Detecting retrieval heads of {wildcards.model}, {wildcards.experiment} cells"
    script:
        "../scripts/detect.py"


# The cells of one needle, where `models.<name>.shards` asks for a job each; `detect` then finds them done.
use rule detect as detect_shard with:
    output:
        **steps_output("results/{model}/{experiment}/shards/{needle}.steps.tsv.gz"),
        cells="results/{model}/{experiment}/shards/{needle}.cells.tsv",
        scores="results/{model}/{experiment}/shards/{needle}.scores.tsv.gz",
    log:
        "logs/{model}/detect_{experiment}_{needle}.log",
    benchmark:
        "results/benchmarks/{model}/detect_{experiment}_{needle}.tsv"
    message:
        "Detecting retrieval heads of {wildcards.model}, {wildcards.experiment} cells of the needle {wildcards.needle}"


rule merge:
    input:
        cells="results/{model}/detection/cells.tsv",
        scores="results/{model}/detection/scores.tsv.gz",
        model="results/{model}/model.json",
        code=core(*OWN_FORMAT),
    output:
        head_score="results/head_score/{model}.json",
        meta="results/head_score/{model}.meta.json",
        ranking=report(
            "results/{model}/ranking.tsv",
            caption="../report/ranking.rst",
            category="Head scores",
            labels={"model": "{model}", "table": "ranking"},
        ),
    log:
        "logs/{model}/merge.log",
    conda:
        "../../envs/tables.yaml"
    params:
        score=get_ranking_score,
        threshold=config["detection"]["threshold"],
    message:
        "Merging the cells of {wildcards.model} into its head scores"
    script:
        "../scripts/merge.py"
