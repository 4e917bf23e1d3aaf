"""The report of all downstream runs.

Outputs: `downstream` (scores with intervals and tests) and `downstream_contrasts` (what the claims compare); the
columns are those of retrieval_heads.downstream.tables.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from retrieval_heads.downstream.tables import contrasts, report, stacked
from retrieval_heads.running.logs import job_log
from retrieval_heads.text_tables import read_table


def summarize_downstream(
    verdicts: list[str], forms: list[str], fluency: list[str], asked: list[dict], models: list[str], outputs
):
    """Write both tables. asked: model, task and mode of each file of verdicts, and of each file of forms."""
    judged = stacked([read_table(path) for path in verdicts], asked)
    described = [
        {**form, **json.loads(Path(path).read_text(encoding="utf-8"))} for form, path in zip(asked, forms, strict=True)
    ]
    read = stacked([pd.read_csv(path, sep="\t") for path in fluency], [{"model": model} for model in models])
    # The geometric mean over draws: perplexities multiply.
    fluent = np.exp(read.groupby(["model", "kind", "k"])["nats"].mean()).rename("perplexity").reset_index()
    report(judged, pd.DataFrame(described), fluent).to_csv(outputs.report, sep="\t", index=False, float_format="%.6g")
    contrasts(judged).to_csv(outputs.contrasts, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        summarize_downstream(
            snakemake.input.verdicts,
            snakemake.input.forms,
            snakemake.input.fluency,
            json.loads(snakemake.params.asked),
            snakemake.params.models,
            snakemake.output,
        )
