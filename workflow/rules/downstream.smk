# Downstream tasks under head masks: the same items asked directly and with chain of thought. Only with config `downstream`.
# Needs: workflow/tasks/*.yaml, a dataset (hub, folder or generated), a checkpoint and results/<model>/head_sets.json.
# Makes: results/tasks/<task>/{all.jsonl, shots.jsonl, source.json, items.jsonl},
#        results/<model>/downstream/<task>/<mode>/{answers/*.json, responses.jsonl, prompts.jsonl, verdicts.tsv, form.json},
#        results/<model>/downstream/fluency.tsv, results/tables/{downstream, downstream_contrasts}.tsv.

TASK = "results/tasks/{task}"
FORM = "results/{model}/downstream/{task}/{mode}"
ANSWERING = core(
    "architecture",
    "attention",
    "engine/decoding",
    "downstream/asking",
    "downstream/lm",
    "downstream/masks",
    "masking",
    "models",
    "refusals",
    "tasks/harness",
)


localrules:
    fetch_task,
    draw,
    weigh,


wildcard_constraints:
    task="[A-Za-z0-9][A-Za-z0-9._-]*",
    mode="direct|cot|loglikelihood|harness",


rule fetch_task:
    input:
        local=get_task_source_files,
        code=core("tasks/harness", "tasks/items", "tasks/sources", "organism/worlds", "organism/corpus"),
    output:
        rows=f"{TASK}/all.jsonl",
        shots=f"{TASK}/shots.jsonl",
        source=f"{TASK}/source.json",
    log:
        "logs/tasks/fetch_{task}.log",
    conda:
        "../../envs/models.yaml"
    params:
        source=get_task_source,
    message:
        "Fetching the items of {wildcards.task}"
    script:
        "../scripts/fetch_task.py"


rule draw:
    input:
        rows=f"{TASK}/all.jsonl",
        source=f"{TASK}/source.json",
        code=core("tasks/items"),
    output:
        f"{TASK}/items.jsonl",
    log:
        "logs/tasks/draw_{task}.log",
    conda:
        "../../envs/tables.yaml"
    params:
        settings=lambda wildcards: as_param({key: config["downstream"][key] for key in ("items", "seed", "longest")}),
    message:
        "Drawing the items of {wildcards.task} that are asked"
    script:
        "../scripts/draw.py"


rule answer:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        head_sets="results/{model}/head_sets.json",
        asked=f"{TASK}/items.jsonl",
        shots=f"{TASK}/shots.jsonl",
        tasks=get_task_files,
        engine=ANSWERING,
        code=core("cell_store", "tasks/items"),
    output:
        responses=f"{FORM}/responses.jsonl",
        prompts=f"{FORM}/prompts.jsonl",
    log:
        "logs/{model}/answer_{task}_{mode}.log",
    benchmark:
        "results/benchmarks/{model}/answer_{task}_{mode}.tsv"
    conda:
        ENGINE_ENVIRONMENT
    threads: ALL_CORES
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_answer_memory,
        runtime=get_answer_runtime,
    params:
        checkpoint=get_checkpoint,
        spec=get_model_spec,
        settings=get_answer_settings,
        batch=lambda wildcards: config["downstream"]["batch"],
    message:
        "Asking {wildcards.model} {wildcards.task}, {wildcards.mode}, under every head set"
    script:
        "../scripts/answer.py"


rule score:
    input:
        responses=f"{FORM}/responses.jsonl",
        asked=f"{TASK}/items.jsonl",
        shots=f"{TASK}/shots.jsonl",
        tasks=get_task_files,
        code=core("downstream/scores", "tasks/harness", "tasks/items", "tasks/spans"),
    output:
        verdicts=f"{FORM}/verdicts.tsv",
        form=f"{FORM}/form.json",
    log:
        "logs/{model}/score_{task}_{mode}.log",
    conda:
        "../../envs/models.yaml"
    params:
        settings=lambda wildcards: as_param({"think_end": config["models"][wildcards.model]["think_end"]}),
    message:
        "Scoring the responses of {wildcards.model} to {wildcards.task}, {wildcards.mode}"
    script:
        "../scripts/score.py"


rule read_on:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        head_sets="results/{model}/head_sets.json",
        texts=HAYSTACKS,
        engine=ANSWERING,
    output:
        "results/{model}/downstream/fluency.tsv",
    log:
        "logs/{model}/read_on.log",
    benchmark:
        "results/benchmarks/{model}/read_on.tsv"
    conda:
        ENGINE_ENVIRONMENT
    threads: ALL_CORES
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_answer_memory,
        runtime=get_answer_runtime,
    params:
        checkpoint=get_checkpoint,
        spec=get_model_spec,
        settings=get_fluency_settings,
    message:
        "Perplexity of {wildcards.model} on the haystacks under every head set"
    script:
        "../scripts/read_on.py"


rule weigh:
    input:
        verdicts=[f"{FORM}/verdicts.tsv".format(**form) for form in ASKED],
        forms=[f"{FORM}/form.json".format(**form) for form in ASKED],
        fluency=expand("results/{model}/downstream/fluency.tsv", model=ASKED_MODELS),
        code=core("downstream/statistics", "downstream/tables", "statistics/masked_curves"),
    output:
        report=report(
            "results/tables/downstream.tsv",
            caption="../report/downstream.rst",
            category="Downstream",
            labels={"table": "scores"},
        ),
        contrasts=report(
            "results/tables/downstream_contrasts.tsv",
            caption="../report/downstream.rst",
            category="Downstream",
            labels={"table": "contrasts"},
        ),
    log:
        "logs/weigh.log",
    conda:
        "../../envs/tables.yaml"
    params:
        asked=lambda wildcards: as_param(ASKED),
        models=ASKED_MODELS,
    message:
        "Weighing what the masks cost in every task"
    script:
        "../scripts/weigh.py"
