# The organism: the small model that ships with the project, trained from nothing by the project.
# Needs: nothing but its code. Makes: results/retrained/organism/, the same files as resources/models/organism.

RETRAINED = "results/retrained/organism"


rule retrain_organism:
    message:
        "Training the organism from nothing (about half an hour on two cores)"
    input:
        code=core("organism/corpus", "organism/tokenizer", "organism/training"),
    output:
        expand(
            f"{RETRAINED}/{{file}}",
            file=["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "training_log.tsv"],
        ),
    params:
        folder=RETRAINED,
        seed=0,
    threads: workflow.cores or 1
    log:
        "logs/retrain_organism.log",
    conda:
        "../../envs/models.yaml"
    script:
        "../scripts/retrain_organism.py"
