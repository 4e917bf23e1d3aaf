"""Summarise all models in long tables (retrieval_heads.summaries says the columns).

Outputs, in results/tables: head_scores, score_bins, masked_curve, needle_grid.
"""

from pathlib import Path

import pandas as pd
from retrieval_heads.job_log import job_log
from retrieval_heads.summaries import masked_curves, needle_grid, over_models, score_bins


def summarise(rankings: dict[str, str], runs: dict[str, str], shown: int, outputs: list[str]) -> None:
    """Write each output; its name says which table it is."""
    ranked = {model: pd.read_csv(path, sep="\t") for model, path in rankings.items()}
    asked = {model: pd.read_csv(path, sep="\t", keep_default_na=False) for model, path in runs.items()}
    tables = {
        "head_scores": over_models(ranked),
        "score_bins": score_bins(ranked),
        "masked_curve": masked_curves(asked),
        "needle_grid": needle_grid(asked, shown),
    }
    for output in outputs:
        tables[Path(output).stem].to_csv(output, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        models = snakemake.params.models
        summarise(
            dict(zip(models, snakemake.input.rankings, strict=True)),
            dict(zip(models, snakemake.input.runs, strict=True)),
            snakemake.params.shown,
            list(snakemake.output),
        )
