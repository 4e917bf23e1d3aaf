"""Draw the items that are asked, the same for every model, mode and head set.

Input: all items of a task. Output: those drawn, in their order, one JSON object a line.
"""

import hashlib
import json
from pathlib import Path

from retrieval_heads.downstream.tasks.items import TaskDataError, drawn, fitting, read_items, write_items
from retrieval_heads.running.logs import job_log


def sample_items(items: str, source: str, settings: dict, output: str) -> None:
    """Check the file of all items against its checksum, then draw."""
    source_record = json.loads(Path(source).read_text(encoding="utf-8"))
    if hashlib.sha256(Path(items).read_bytes()).hexdigest() != source_record["sha256"]:
        raise TaskDataError(f"'{items}' is not the file that was fetched; remove it, and it is fetched again")
    short = fitting(read_items(Path(items)), settings["longest"])
    write_items(Path(output), drawn(short, settings["items"], settings["seed"]))


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        sample_items(
            snakemake.input.rows, snakemake.input.source, json.loads(snakemake.params.settings), snakemake.output[0]
        )
