"""State the facts of the sum-attention study: every task filled from every record, and the split of the records.

Outputs: the facts as a needle table (needle text question answer cue), and facts_split.tsv (needle, task, record, part:
identification or validation).
"""

import csv
import json
from dataclasses import astuple
from pathlib import Path

from retrieval_heads.prompts.needles import COLUMNS, read_needles
from retrieval_heads.running.logs import job_log
from retrieval_heads.sum_attention.facts import read_records, read_tasks, state_facts


def build_record_facts(records: str, templates: str, settings: dict, facts: str, split: str) -> None:
    """Write both tables; the needles are read back, so that a fact that is no needle is refused by name."""
    stated = state_facts(read_records(Path(records)), read_tasks(Path(templates)), **settings)
    write(facts, COLUMNS, [astuple(fact.needle) for fact in stated])
    read_needles(Path(facts))
    write(
        split,
        ("needle", "task", "record", "part"),
        [(fact.needle.needle, fact.task, fact.record, fact.part) for fact in stated],
    )


def write(path: str, columns: tuple[str, ...], rows: list[tuple]) -> None:
    """A tab-separated table without quoting, as needle tables are read."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
        writer.writerows([columns, *rows])


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        build_record_facts(
            snakemake.input.records,
            snakemake.input.templates,
            json.loads(snakemake.params.settings),
            snakemake.output.facts,
            snakemake.output.split,
        )
