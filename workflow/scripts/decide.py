"""Put the numbers that decide the five claims of the paper beside each other (retrieval_heads.claims says the columns).

Outputs: one long table over all models, and the same as a page for the report.
"""

import json

import pandas as pd
from retrieval_heads.claims import claims
from retrieval_heads.job_log import job_log
from retrieval_heads.pages import write_page


def decide(inputs, settings: dict, outputs) -> None:
    """inputs: the tables of the study; masked_curve and masked_contrast only where models run."""
    tables = {
        name: pd.read_csv(path, sep="\t", keep_default_na=True) for name, path in inputs.items() if name != "code"
    }
    found = claims(
        tables["head_scores"],
        tables["threshold_sweep"],
        tables["model_agreement"],
        tables.get("masked_curve"),
        tables.get("masked_contrast"),
        **settings,
    )
    found.to_csv(outputs.table, sep="\t", index=False, float_format="%.4g")
    write_page(found, "Claims", outputs.page)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        decide(dict(snakemake.input.items()), json.loads(snakemake.params.settings), snakemake.output)
