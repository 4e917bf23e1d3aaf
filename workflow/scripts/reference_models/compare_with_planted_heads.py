"""Compare what was found in the phantom with what was planted, and fail loudly where they differ.

Outputs: detection.tsv (length, depth, found, precision, recall) and masking.tsv (head_set, length, success in percent).
Snakemake removes the outputs of a failed job, so the log holds both tables too.
"""

import json
from pathlib import Path

import pandas as pd

from retrieval_heads.reference_models.calibration import check_detection, check_masking, require_calibrated
from retrieval_heads.running.logs import job_log
from retrieval_heads.text_tables import read_table


def compare_with_planted_heads(inputs, outputs, threshold: float, logger) -> None:
    """Write both tables; raises `CalibrationError` when the phantom was not measured as planted."""
    heads = json.loads(Path(inputs.phantom).read_text(encoding="utf-8"))
    planted = [(head["layer"], head["head"]) for head in heads if head["role"] == "copy"]
    detection = check_detection(pd.read_csv(inputs.scores, sep="\t"), planted, threshold)
    masking = check_masking(read_table(inputs.runs))
    logger.info("detection\n%s\nmasking\n%s", detection.to_string(), masking.to_string())
    detection.to_csv(outputs.detection, sep="\t", index=False)
    masking.to_csv(outputs.masking, sep="\t", index=False)
    require_calibrated(detection, masking)


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        compare_with_planted_heads(snakemake.input, snakemake.output, snakemake.params.threshold, journal)
