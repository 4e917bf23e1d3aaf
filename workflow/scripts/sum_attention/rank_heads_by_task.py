"""Rank the heads of one model task by task, and find those that are among the top K of every task.

Outputs: `ranking` (task and the columns of retrieval_heads.sum_attention.rank_task); `combined`, all heads with
mean_score, tasks_in_top and general; `general` and `heads` as CSV and JSON (layer, head, mean_score: mean over tasks of
the mean attention sum), the general heads and all of them; `agreement` of every two tasks.
"""

import json
from pathlib import Path

import pandas as pd

from retrieval_heads.running.logs import job_log
from retrieval_heads.sum_attention.ranking import combine, export, rank_task, task_agreement
from retrieval_heads.text_tables import read_table


def rank_heads_by_task(inputs, top: int | str, outputs) -> None:
    """Average over the cells that were answered, rank, intersect."""
    model = json.loads(Path(inputs.model).read_text(encoding="utf-8"))
    task_of = read_table(inputs.split).set_index("needle")["task"]
    cells = read_table(inputs.cells)
    scores = pd.read_csv(inputs.scores, sep="\t", dtype={"needle": "category"})
    rankings = {
        task: rank_task(part, scores[scores["needle"].isin(part["needle"])].astype({"needle": str}), model, task)
        for task, part in cells.groupby(cells["needle"].map(task_of), sort=False)
    }
    ranking = pd.concat(ranked.assign(task=task)[["task", *ranked]] for task, ranked in rankings.items())
    heads = combine(rankings, top)
    for table, path in (
        (ranking, outputs.ranking),
        (heads, outputs.combined),
        (task_agreement(rankings, top), outputs.agreement),
    ):
        table.to_csv(path, sep="\t", index=False, float_format="%.6g")
    export(heads[heads["general"]], Path(outputs.general_csv).with_suffix(""))
    export(heads, Path(outputs.heads_csv).with_suffix(""))


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        rank_heads_by_task(snakemake.input, snakemake.params.top, snakemake.output)
