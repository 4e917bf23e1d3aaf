"""General retrieval heads of one model: the heads that are among the top K of every task.

Outputs: `general` and `heads` as CSV and JSON (layer, head, mean_score: mean over tasks of the mean attention sum), the
general heads and all of them; `combined`, all heads with tasks_in_top and general; `agreement` of every two tasks.
"""

from pathlib import Path

import pandas as pd
from retrieval_heads.job_log import job_log
from retrieval_heads.sum_attention import combine, export, task_agreement


def intersect(rankings: dict[str, str], top: int | str, outputs) -> None:
    """rankings: task -> its ranking."""
    ranked = {task: pd.read_csv(path, sep="\t") for task, path in rankings.items()}
    heads = combine(ranked, top)
    heads.to_csv(outputs.combined, sep="\t", index=False, float_format="%.6g")
    export(heads[heads["general"]], Path(outputs.general_csv).with_suffix(""))
    export(heads, Path(outputs.heads_csv).with_suffix(""))
    task_agreement(ranked, top).to_csv(outputs.agreement, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        intersect(
            dict(zip(snakemake.params.tasks, snakemake.input.rankings, strict=True)),
            snakemake.params.top,
            snakemake.output,
        )
