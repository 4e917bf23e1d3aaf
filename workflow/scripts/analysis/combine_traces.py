"""One table over all models: the column `model`, then those of each model's own table."""

import pandas as pd

from retrieval_heads.analysis.model_tables import over_models
from retrieval_heads.running.logs import job_log


def combine_traces(models: list[str], tables: list[str], output: str) -> None:
    """Read one table a model, write them one below the other."""
    read = {
        model: pd.read_csv(path, sep="\t", keep_default_na=False) for model, path in zip(models, tables, strict=True)
    }
    over_models(read).to_csv(output, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        combine_traces(snakemake.params.models, snakemake.input.tables, snakemake.output[0])
