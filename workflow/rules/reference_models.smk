# Models that the project makes itself, and the calibration of the measurement on the phantom.
# Needs: haystacks and needles (phantom); nothing (organism); config `calibration`.
# Makes: results/models/phantom/, results/phantom/calibration/{detection.tsv, masking.tsv}; results/retrained/organism/, the
#        same files as resources/models/organism.


PHANTOM = "results/phantom/calibration"
ORGANISM_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "training_log.tsv"]


localrules:
    select_planted_heads,
    compare_with_planted_heads,
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


rule compare_with_planted_heads:
    input:
        phantom="results/models/phantom/phantom.json",
        cells=f"{PHANTOM}/cells.tsv",
        scores=f"{PHANTOM}/scores.tsv.gz",
        runs=f"{PHANTOM}/runs.tsv",
    output:
        detection=f"{PHANTOM}/detection.tsv",
        masking=f"{PHANTOM}/masking.tsv",
    log:
        "logs/phantom/compare_with_planted_heads.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("reference_models/compare_with_planted_heads"),
        threshold=config["detection"]["threshold"],
    message:
        "Comparing the heads found in the phantom with those planted"
    script:
        "../scripts/reference_models/compare_with_planted_heads.py"


rule calibrate:
    input:
        rules.compare_with_planted_heads.output,
    message:
        "Calibrated: exactly the planted heads were found at every length and depth"


rule retrain_organism:
    output:
        expand("results/retrained/organism/{file}", file=ORGANISM_FILES),
    log:
        "logs/retrain_organism.log",
    conda:
        "../../envs/models.yaml"
    threads: ALL_CORES
    params:
        code=get_code("reference_models/retrain_organism"),
    message:
        "Training the organism (an hour or more on one core)"
    script:
        "../scripts/reference_models/retrain_organism.py"
