"""Score the kept responses of one form of a task. No model is loaded.

Outputs: `verdicts.tsv`, one row an item and head set (item, head_set, kind, k, seed; score: the main metric, 0 to 1;
every metric as `metric,filter`; readable: an answer could be read; cut: the response ended at the token limit; tokens),
and `form.json` (metric, chance: 0 to 1, version: of the task's file).
"""

import json
from pathlib import Path

import pandas as pd

from retrieval_heads.downstream.scoring import Judge
from retrieval_heads.downstream.tasks import harness
from retrieval_heads.downstream.tasks.items import read_items
from retrieval_heads.running.logs import job_log

KEPT = ["item", "head_set", "kind", "k", "seed"]


def score_responses(form: tuple[str, str], inputs, settings: dict, outputs) -> None:
    """Write the verdicts, and what every row of them shares."""
    items, shots = read_items(Path(inputs.asked)), read_items(Path(inputs.shots))
    task = harness.load(*form, Path(inputs.tasks[0]).parent, items, shots=shots)
    judge = Judge(task, settings["think_end"], thinking=settings["think_end"] is not None and form[1] == "cot")
    responses = pd.DataFrame(read_items(Path(inputs.responses))).astype({"seed": "Int64"})
    order = [item["item"] for item in items]
    tables = []
    for _, part in responses.groupby("head_set", sort=False):
        part = part.set_index("item").loc[order].reset_index()
        verdicts = pd.DataFrame(judge.judged(part.to_dict("records")))
        manner = part.reindex(columns=["cut", "tokens"]).fillna({"cut": False, "tokens": 0})
        tables.append(pd.concat([part[KEPT], verdicts[judge.score].rename("score"), verdicts, manner], axis=1))
    pd.concat(tables).to_csv(outputs.verdicts, sep="\t", index=False, float_format="%.6g")
    form = {"metric": judge.score, "chance": judge.chance(), "version": str(task.VERSION)}
    Path(outputs.form).write_text(json.dumps(form, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        score_responses(
            (snakemake.wildcards.task, snakemake.wildcards.mode),
            snakemake.input,
            json.loads(snakemake.params.settings),
            snakemake.output,
        )
