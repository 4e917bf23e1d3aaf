# Models that the project makes itself, and the calibration of the measurement on the phantom.
# Needs: haystacks and needles (phantom); nothing (organism); config `calibration`.
# Makes: results/models/phantom/, results/phantom/calibration/{detection.tsv, masking.tsv}; results/retrained/<name>/, the same
#        files as resources/models/<name>.


include: "lookups/reference_models.smk"


PHANTOM = "results/phantom/calibration"
RETRAINED = "results/retrained"
CHECKPOINT = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "training_log.tsv"]
# Who goes on from whom; the others begin with random weights.
PARENTS = {"organism-long": "organism", "scholar": "organism"}


localrules:
    select_planted_heads,
    check_calibration,
    calibrate,


rule build_phantom:
    input:
        haystacks=HAYSTACKS,
        needles=[NEEDLES, *PHANTOM_FACTS],
        documents=PHANTOM_DOCUMENTS,
    output:
        expand("results/models/phantom/{file}", file=PHANTOM_FILES),
    log:
        "logs/build_phantom.log",
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("reference_models/build_phantom"),
        template=lambda wildcards: config["prompt"]["template"],
        names=sorted({name for part in ("detection", "masked", "calibration") for name in get_needle_names(part)}),
    message:
        "Building the phantom: a model whose retrieval heads are known by construction"
    script:
        "../scripts/reference_models/build_phantom.py"


rule select_planted_heads:
    input:
        "results/models/phantom/phantom.json",
    output:
        f"{PHANTOM}/head_sets.json",
    log:
        "logs/phantom/select_planted_heads.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("reference_models/select_planted_heads"),
    message:
        "Selecting the head sets of the calibration: planted heads, and all others"
    script:
        "../scripts/reference_models/select_planted_heads.py"


rule check_calibration:
    input:
        phantom="results/models/phantom/phantom.json",
        cells=f"{PHANTOM}/cells.tsv",
        scores=f"{PHANTOM}/scores.tsv.gz",
        runs=f"{PHANTOM}/runs.tsv",
    output:
        detection=f"{PHANTOM}/detection.tsv",
        masking=f"{PHANTOM}/masking.tsv",
    log:
        "logs/phantom/check_calibration.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("reference_models/check_calibration"),
        threshold=config["detection"]["threshold"],
    message:
        "Checking that exactly the planted heads of the phantom were found"
    script:
        "../scripts/reference_models/check_calibration.py"


rule calibrate:
    input:
        rules.check_calibration.output,
    message:
        "Calibrated: exactly the planted heads were found at every length and depth"


rule retrain_organism:
    input:
        expand("{folder}/organism/{file}", folder=RETRAINED, file=CHECKPOINT),


rule retrain_relatives:
    input:
        expand("{folder}/{name}/{file}", folder=RETRAINED, name=["organism-long", "scholar", "cousin"], file=CHECKPOINT),


rule train_organism:
    input:
        parent=lambda w: [f"{RETRAINED}/{PARENTS[w.name]}/{file}" for file in CHECKPOINT if w.name in PARENTS],
        tasks=[located(f"workflow/tasks/{path.name}") for path in sorted(TASK_FILES.glob("*yaml"))],
    output:
        expand("{folder}/{{name}}/{file}", folder=RETRAINED, file=CHECKPOINT),
    log:
        "logs/train_organism/{name}.log",
    conda:
        "../../envs/models.yaml"
    threads: ALL_CORES
    params:
        code=get_code("reference_models/train_organism"),
    message:
        "Training {wildcards.name} (an hour or more on one core)"
    script:
        "../scripts/reference_models/train_organism.py"
