# Downstream tasks under head masks: the same items asked directly and with chain of thought. Only with config `downstream`.
# Needs: workflow/tasks/*.yaml, a dataset (hub or folder), a checkpoint and results/<model>/head_sets.json.
# Makes: results/tasks/<task>/{all.jsonl, shots.jsonl, source.json, items.jsonl},
#        results/<model>/downstream/<task>/<mode>/{answers/*.json, responses.jsonl, prompts.jsonl, verdicts.tsv, form.json},
#        results/<model>/downstream/fluency.tsv, results/tables/{downstream, downstream_contrasts}.tsv.
from retrieval_heads.downstream.tasks.sources import HARNESS, items_of, modes_of, source_of


include: "lookups/downstream.smk"


TASK = "results/tasks/{task}"
FORM = "results/{model}/downstream/{task}/{mode}"


# Downstream tasks -> their modes, and every (model, task, mode) that is asked.
TASK_FILES = BASE / "workflow" / "tasks"
TASKS = {task: modes_of(task, TASK_FILES) for task in config.get("downstream", {}).get("tasks", [])}
ASKED_MODELS = sorted(config["downstream"]["models"] or MODELS) if TASKS else []
ASKED = [
    {"model": model, "task": task, "mode": mode} for model in ASKED_MODELS for task in TASKS for mode in TASKS[task]
]


localrules:
    fetch_task,
    sample_items,
    summarize_downstream,


wildcard_constraints:
    task="[A-Za-z0-9][A-Za-z0-9._-]*",
    mode="direct|cot|loglikelihood|harness",


rule fetch_task:
    input:
        local=get_task_source_files,
    output:
        rows=f"{TASK}/all.jsonl",
        shots=f"{TASK}/shots.jsonl",
        source=f"{TASK}/source.json",
    log:
        "logs/tasks/fetch_task_{task}.log",
    priority: 1
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("downstream/fetch_task"),
        source=get_task_source,
    message:
        "Fetching the items of {wildcards.task}"
    script:
        "../scripts/downstream/fetch_task.py"


rule sample_items:
    input:
        rows=f"{TASK}/all.jsonl",
        source=f"{TASK}/source.json",
    output:
        f"{TASK}/items.jsonl",
    log:
        "logs/tasks/sample_items_{task}.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("downstream/sample_items"),
        settings=get_sampling_settings,
    message:
        "Sampling the items of {wildcards.task}"
    script:
        "../scripts/downstream/sample_items.py"


rule generate_responses:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        head_sets="results/{model}/head_sets.json",
        asked=f"{TASK}/items.jsonl",
        shots=f"{TASK}/shots.jsonl",
        tasks=get_task_files,
    output:
        responses=f"{FORM}/responses.jsonl",
        prompts=f"{FORM}/prompts.jsonl",
    log:
        "logs/{model}/generate_responses_{task}_{mode}.log",
    benchmark:
        "results/benchmarks/{model}/generate_responses_{task}_{mode}.tsv"
    conda:
        ENGINE_ENVIRONMENT
    threads: MODEL_THREADS
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_answer_memory,
        runtime=get_answer_runtime,
    params:
        code=get_code("downstream/generate_responses"),
        checkpoint=get_checkpoint,
        spec=get_model_spec,
        settings=get_answer_settings,
        batch=lambda wildcards: config["downstream"]["batch"],
    message:
        "Generating the responses of {wildcards.model} to {wildcards.task}, {wildcards.mode}, under every head set"
    script:
        "../scripts/downstream/generate_responses.py"


rule score_responses:
    input:
        responses=f"{FORM}/responses.jsonl",
        asked=f"{TASK}/items.jsonl",
        shots=f"{TASK}/shots.jsonl",
        tasks=get_task_files,
    output:
        verdicts=f"{FORM}/verdicts.tsv",
        form=f"{FORM}/form.json",
    log:
        "logs/{model}/score_responses_{task}_{mode}.log",
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("downstream/score_responses"),
        scorers=get_scorer_code,
        settings=lambda wildcards: as_param({"think_end": config["models"][wildcards.model]["think_end"]}),
    message:
        "Scoring the responses of {wildcards.model} to {wildcards.task}, {wildcards.mode}"
    script:
        "../scripts/downstream/score_responses.py"


rule compute_perplexity:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        head_sets="results/{model}/head_sets.json",
        texts=HAYSTACKS,
    output:
        "results/{model}/downstream/fluency.tsv",
    log:
        "logs/{model}/compute_perplexity.log",
    benchmark:
        "results/benchmarks/{model}/compute_perplexity.tsv"
    conda:
        ENGINE_ENVIRONMENT
    threads: MODEL_THREADS
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_answer_memory,
        runtime=get_answer_runtime,
    params:
        code=get_code("downstream/compute_perplexity"),
        checkpoint=get_checkpoint,
        spec=get_model_spec,
        settings=get_fluency_settings,
    message:
        "Computing the perplexity of {wildcards.model} on the haystacks under every head set"
    script:
        "../scripts/downstream/compute_perplexity.py"


rule summarize_downstream:
    input:
        verdicts=[f"{FORM}/verdicts.tsv".format(**form) for form in ASKED],
        forms=[f"{FORM}/form.json".format(**form) for form in ASKED],
        fluency=expand("results/{model}/downstream/fluency.tsv", model=ASKED_MODELS),
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
        "logs/summarize_downstream.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("downstream/summarize_downstream"),
        asked=lambda wildcards: as_param(ASKED),
        models=ASKED_MODELS,
    message:
        "Summarizing the downstream scores under head masks"
    script:
        "../scripts/downstream/summarize_downstream.py"
