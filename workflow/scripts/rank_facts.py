"""Rank the heads of one model in one task by attention sum.

Output: the columns of retrieval_heads.sum_attention.rank_task.
"""

import json
from pathlib import Path

import pandas as pd
from retrieval_heads.job_log import job_log
from retrieval_heads.sum_attention import rank_task


def rank_facts(cells: str, scores: str, model: str, task: str, output: str) -> None:
    """Average over the cells that were answered."""
    facts = json.loads(Path(model).read_text(encoding="utf-8"))
    answered = pd.read_csv(cells, sep="\t", keep_default_na=False)
    ranked = rank_task(answered, pd.read_csv(scores, sep="\t"), facts, task)
    ranked.to_csv(output, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        rank_facts(
            snakemake.input.cells,
            snakemake.input.scores,
            snakemake.input.model,
            snakemake.wildcards.task,
            snakemake.output[0],
        )
