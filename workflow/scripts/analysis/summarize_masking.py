"""Summarise the masked runs of all models in long tables (retrieval_heads.masking_analysis.tables says the columns).

Outputs, in results/tables: error_kinds, masked_contrast, masked_curve, needle_grid.
"""

from retrieval_heads.figures.html_tables import CONTRAST, write_page
from retrieval_heads.masking_analysis.tables import error_kinds, masked_contrasts, masked_curves, needle_grid
from retrieval_heads.running.logs import job_log
from retrieval_heads.text_tables import read_table


def summarize_masking(models: list[str], inputs, shown: int, outputs) -> None:
    """inputs.runs, inputs.errors: one table a model. shown: size of the head sets that the grid shows."""
    asked, labelled = (
        {model: read_table(path) for model, path in zip(models, paths, strict=True)}
        for paths in (inputs.runs, inputs.errors)
    )
    error_kinds(labelled).to_csv(outputs.error_kinds, sep="\t", index=False, float_format="%.6g")
    contrasts = masked_contrasts(asked)
    contrasts.to_csv(outputs.masked_contrast, sep="\t", index=False, float_format="%.6g")
    write_page(contrasts, CONTRAST, outputs.page)
    masked_curves(asked).to_csv(outputs.masked_curve, sep="\t", index=False, float_format="%.6g")
    needle_grid(asked, shown).to_csv(outputs.needle_grid, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        summarize_masking(snakemake.params.models, snakemake.input, snakemake.params.shown, snakemake.output)
