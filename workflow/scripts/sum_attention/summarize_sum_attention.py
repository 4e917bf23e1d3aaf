"""Tables of the validation of general retrieval heads, over all models and placements.

Outputs, in results/tables: sum_attention_heads (how many heads are general), sum_attention_tasks, sum_attention_depths
and sum_attention_lowest (accuracy); the columns, behind model and placement, are those of
retrieval_heads.sum_attention.tables.
"""

import json

import pandas as pd

from retrieval_heads.masking.head_sets import resolve_size
from retrieval_heads.running.logs import job_log
from retrieval_heads.sum_attention.tables import by_depth, by_lowest, by_task, summary
from retrieval_heads.text_tables import read_table


def summarize_sum_attention(asked: list[dict], inputs, top: int | str, outputs) -> None:
    """asked: model and placement of each table in inputs.runs and inputs.combined."""
    task_of = read_table(inputs.split).set_index("needle")["task"]
    parts = {name: [] for name in ("heads", "tasks", "depths", "lowest")}
    for study, runs_path, heads_path in zip(asked, inputs.runs, inputs.combined, strict=True):
        heads = pd.read_csv(heads_path, sep="\t")
        runs = read_table(runs_path)
        runs["task"] = runs["needle"].map(task_of)
        counts = summary(heads, runs["task"].nunique(), resolve_size(top, len(heads)))
        parts["heads"].append(pd.DataFrame([counts]).assign(**study))
        parts["tasks"].append(by_task(runs).assign(**study))
        parts["depths"].append(by_depth(runs, natural=study["placement"] == "natural").assign(**study))
        parts["lowest"].append(by_lowest(runs, len(heads)).assign(**study))
    for name, tables in parts.items():
        table = pd.concat(tables).set_index(["model", "placement"]).reset_index()
        table.to_csv(outputs[name], sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        summarize_sum_attention(
            json.loads(snakemake.params.asked),
            snakemake.input,
            snakemake.params.top,
            snakemake.output,
        )
