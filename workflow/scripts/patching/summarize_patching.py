"""What patched heads restore in all models, beside what masking them takes away (columns: patching.tables)."""

import pandas as pd

from retrieval_heads.patching.tables import beside_masking, patched_curve
from retrieval_heads.running.logs import job_log


def summarize_patching(models: list[str], runs: list[str], masked: str, output: str) -> None:
    """runs: one table a model. masked: the curve of masking of all models."""
    masking = pd.read_csv(masked, sep="\t", keep_default_na=False, na_values=[""])
    curves = []
    for model, path in zip(models, runs, strict=True):
        curve = patched_curve(pd.read_csv(path, sep="\t", keep_default_na=False, na_values=[""]))
        curves.append(beside_masking(curve, masking[masking["model"] == model]))
        curves[-1].insert(0, "model", model)
    pd.concat(curves).to_csv(output, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        summarize_patching(snakemake.params.models, snakemake.input.runs, snakemake.input.masked, snakemake.output[0])
