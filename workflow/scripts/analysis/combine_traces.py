"""One table over all models: the column `model`, then those of each model's own table."""

from retrieval_heads.running.logs import job_log
from retrieval_heads.text_tables import over_models, read_table, write_table


def combine_traces(models: list[str], tables: list[str], output: str) -> None:
    """Read one table a model, write them one below the other."""
    read = {model: read_table(path) for model, path in zip(models, tables, strict=True)}
    write_table(over_models(read), output, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        combine_traces(snakemake.params.models, snakemake.input.tables, snakemake.output[0])
