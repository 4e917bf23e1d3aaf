"""Evaluate the claims: the numbers that decide them side by side (columns: analysis.claims).

Outputs: one long table over all models, and the same as a page for the report.
"""

import json

import pandas as pd

from retrieval_heads.analysis.claims import claims
from retrieval_heads.figures.html_tables import CLAIMS, write_page
from retrieval_heads.running.logs import job_log


def evaluate_claims(inputs, settings: dict, outputs) -> None:
    """inputs: the tables of the study; masked_curve and masked_contrast only where models run,
    patched_curve only where heads are patched."""
    tables = {
        name: pd.read_csv(path, sep="\t", keep_default_na=True) for name, path in inputs.items() if name != "code"
    }
    found = claims(
        tables["head_scores"],
        tables["threshold_sweep"],
        tables["model_agreement"],
        tables.get("masked_curve"),
        tables.get("masked_contrast"),
        patched=tables.get("patched_curve"),
        **settings,
    )
    found.to_csv(outputs.table, sep="\t", index=False, float_format="%.6g")
    write_page(found, CLAIMS, outputs.page)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        evaluate_claims(dict(snakemake.input.items()), json.loads(snakemake.params.settings), snakemake.output)
