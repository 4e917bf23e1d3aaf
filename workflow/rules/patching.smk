# Activation patching: the needle says something else, and chosen heads are given what they gave over the original; and the
# reverse. Only with config `patched`.
# Needs: results/<model>/head_sets.json, a checkpoint and the placed prompts of the masked runs.
# Makes: results/<model>/patched/{counterparts.json, runs.tsv}, results/tables/patched_curve.tsv.


# Config `patched`, None without it, and its models.
PATCHED = config.get("patched")
PATCHED_MODELS = sorted(PATCHED["models"] or MODELS) if PATCHED else []


localrules:
    choose_counterparts,
    summarize_patching,


rule choose_counterparts:
    input:
        needles=NEEDLES,
        texts=HAYSTACKS,
        model="results/{model}/model.json",
        pieces="results/{model}/masked/pieces.json",
    output:
        "results/{model}/patched/counterparts.json",
    log:
        "logs/{model}/choose_counterparts.log",
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("patching/choose_counterparts"),
        checkpoint=get_checkpoint,
        seed=lambda wildcards: PATCHED["seed"],
    message:
        "Choosing what the needles of {wildcards.model} say in the counterparts of its prompts"
    script:
        "../scripts/patching/choose_counterparts.py"


rule run_patching:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        haystacks="results/{model}/haystacks.npz",
        placement="results/{model}/masked/placement.tsv",
        pieces="results/{model}/masked/pieces.json",
        counterparts="results/{model}/patched/counterparts.json",
        head_sets="results/{model}/head_sets.json",
    output:
        runs="results/{model}/patched/runs.tsv",
    log:
        "logs/{model}/run_patching.log",
    benchmark:
        "results/benchmarks/{model}/run_patching.tsv"
    conda:
        ENGINE_ENVIRONMENT
    threads: MODEL_THREADS
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_patching_memory,
        runtime=get_patching_runtime,
    params:
        code=get_code("patching/run_patching"),
        checkpoint=get_checkpoint,
        spec=get_model_spec,
        folder=lambda wildcards: f"results/{wildcards.model}/patched",
        patching=lambda wildcards: as_param({key: PATCHED[key] for key in ("what", "directions")}),
        unit=config["masked"]["unit"],
        batch=config["masked"]["batch"],
    message:
        "Patching heads of {wildcards.model} from the original prompts into their counterparts, and back"
    script:
        "../scripts/patching/run_patching.py"


rule summarize_patching:
    input:
        runs=expand("results/{model}/patched/runs.tsv", model=PATCHED_MODELS),
        masked="results/tables/masked_curve.tsv",
    output:
        "results/tables/patched_curve.tsv",
    log:
        "logs/summarize_patching.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("patching/summarize_patching"),
        models=PATCHED_MODELS,
    message:
        "Summarising what patched heads restore, beside what masking them takes away"
    script:
        "../scripts/patching/summarize_patching.py"
