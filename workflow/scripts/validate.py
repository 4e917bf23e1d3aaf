"""Tables of the validation of general retrieval heads, over all models and placements.

Outputs, in results/tables: sum_attention_heads (how many heads are general), sum_attention_tasks, sum_attention_depths and
sum_attention_lowest (accuracy); the columns, behind model and placement, are those of
retrieval_heads.sum_attention_tables.
"""

import json

import pandas as pd
from retrieval_heads.head_sets import resolve_size
from retrieval_heads.job_log import job_log
from retrieval_heads.sum_attention_tables import by_depth, by_lowest, by_task, summary


def validate(asked: list[dict], tasks: list[str], top: int | str, runs: list[str], combined: list[str], outputs) -> None:
    """asked: model and placement of each table in `combined`; runs: of each of them one table a task."""
    parts = {name: [] for name in ("heads", "tasks", "depths", "lowest")}
    for place, study in enumerate(asked):
        heads = pd.read_csv(combined[place], sep="\t")
        own = dict(zip(tasks, runs[place * len(tasks) : (place + 1) * len(tasks)], strict=True))
        table = pd.concat(
            [pd.read_csv(path, sep="\t", keep_default_na=False).assign(task=task) for task, path in own.items()]
        )
        found = {
            "heads": pd.DataFrame([summary(heads, len(tasks), resolve_size(top, len(heads)))]),
            "tasks": by_task(table),
            "depths": by_depth(table, natural=study["placement"] == "natural"),
            "lowest": by_lowest(table, len(heads)),
        }
        for name, part in found.items():
            parts[name].append(part.assign(**study)[[*study, *part.columns]])
    for name, tables in parts.items():
        pd.concat(tables).to_csv(outputs[name], sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        validate(
            json.loads(snakemake.params.asked),
            snakemake.params.tasks,
            snakemake.params.top,
            snakemake.input.runs,
            snakemake.input.combined,
            snakemake.output,
        )
