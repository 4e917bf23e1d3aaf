# The workflow measures the phantom, whose heads are known, and fails loudly when it does not find exactly them.
# Needs: config `calibration` and the model `phantom`.
# Makes: results/phantom/calibration/{detection.tsv, masking.tsv}.

PHANTOM = "results/phantom/calibration"


localrules:
    plant,
    check_calibration,
    calibrate,


rule plant:
    input:
        "results/models/phantom/phantom.json",
    output:
        f"{PHANTOM}/head_sets.json",
    log:
        "logs/phantom/plant.log",
    conda:
        "../../envs/tables.yaml"
    message:
        "Head sets of the calibration: the planted heads, and all the others"
    script:
        "../scripts/plant.py"


rule check_calibration:
    input:
        phantom="results/models/phantom/phantom.json",
        cells=f"{PHANTOM}/cells.tsv",
        scores=f"{PHANTOM}/scores.tsv.gz",
        runs=f"{PHANTOM}/runs.tsv",
        code=core("calibration"),
    output:
        detection=f"{PHANTOM}/detection.tsv",
        masking=f"{PHANTOM}/masking.tsv",
    log:
        "logs/phantom/check_calibration.log",
    conda:
        "../../envs/tables.yaml"
    params:
        threshold=config["detection"]["threshold"],
    message:
        "Comparing what was found in the phantom with what was planted"
    script:
        "../scripts/check_calibration.py"


rule calibrate:
    input:
        rules.check_calibration.output,
    message:
        "Calibrated: every planted head found, no other, at every length and depth"
