# The project's own trained models: the organism that the default study reads, and its relatives.
# Needs: their code and the task files. Makes: results/retrained/<name>/, the same files as resources/models/<name>.

RETRAINED = "results/retrained"
CHECKPOINT = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "training_log.tsv"]
# Who goes on from whom; the others begin with random weights.
PARENTS = {"organism-long": "organism", "scholar": "organism"}
TRAINING = ["architectures", "corpus", "lessons", "recipes", "task_lessons", "tokenizer", "training", "worlds"]


rule retrain_organism:
    input:
        expand("{folder}/organism/{file}", folder=RETRAINED, file=CHECKPOINT),


rule retrain_relatives:
    input:
        expand("{folder}/{name}/{file}", folder=RETRAINED, name=["organism-long", "scholar", "cousin"], file=CHECKPOINT),


rule retrain:
    input:
        parent=lambda w: [f"{RETRAINED}/{PARENTS[w.name]}/{file}" for file in CHECKPOINT if w.name in PARENTS],
        tasks=[located(f"workflow/tasks/{path.name}") for path in sorted(TASK_FILES.glob("*yaml"))],
        code=core(*(f"organism/{module}" for module in TRAINING), "tasks/harness", "tasks/items", "tasks/examples"),
    output:
        expand("{folder}/{{name}}/{file}", folder=RETRAINED, file=CHECKPOINT),
    log:
        "logs/retrain/{name}.log",
    conda:
        "../../envs/models.yaml"
    threads: ALL_CORES
    message:
        "Training {wildcards.name} (an hour or more on one core)"
    script:
        "../scripts/retrain_organism.py"
