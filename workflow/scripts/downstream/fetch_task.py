"""Fetch the items of one task and write them in one form. Needs the network for a dataset of the hub.

Outputs: `all.jsonl`, one item a line (form: downstream.tasks.items); `shots.jsonl`, documents for example prompts
(empty but for tasks of the harness that have any); `source.json` with the source, the number of items and the SHA-256
of `all.jsonl`.
"""

import json
import os
from pathlib import Path

# Other jobs may not use the network; it must be allowed before a library of the hub is imported.
os.environ.pop("HF_HUB_OFFLINE", None)

from datasets import load_dataset

from retrieval_heads.downstream.tasks import harness
from retrieval_heads.downstream.tasks.items import NORMALISE, normalised, read_articles, write_items
from retrieval_heads.downstream.tasks.local_files import folder_items
from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.hub_auth import take_token
from retrieval_heads.sources.hub_faults import hub_faults


def fetch_task(task: str, source: dict, folder: Path) -> None:
    """Write the three files of `task` into `folder`."""
    items, shots = (own_items(task, source), []) if source["kind"] != "harness" else harness_items(task, source)
    digest = write_items(folder / "all.jsonl", items)
    write_items(folder / "shots.jsonl", shots)
    record = {"task": task, "source": source, "items": len(items), "sha256": digest}
    (folder / "source.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def own_items(task: str, source: dict) -> list[dict]:
    """Items of a task of this project: from a folder, or from the hub at a pinned revision."""
    if task not in NORMALISE:
        return read_articles(Path(source["path"]))
    if source["kind"] == "path":
        return folder_items(task, Path(source["path"]), source["split"])
    with hub_faults(f"downstream.sources.{task}", source["hub"], source["revision"]):
        rows = load_dataset(source["hub"], source["subset"], split=source["split"], revision=source["revision"])
    return normalised(task, rows)


def harness_items(task: str, source: dict) -> tuple[list[dict], list[dict]]:
    """Documents of a task of the harness after its own processing, and those that its prompts take examples from."""
    with hub_faults(f"downstream.sources.{task}", task, source["revision"]):
        loaded = harness.published(task, source["revision"])
    items = [{**doc, "item": f"doc-{number}"} for number, doc in enumerate(loaded.eval_docs)]
    return items, list(loaded.fewshot_docs()) if loaded.config.num_fewshot else []


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        take_token([Path.cwd(), Path(snakemake.scriptdir).parents[2]])
        fetch_task(snakemake.wildcards.task, json.loads(snakemake.params.source), Path(snakemake.output.rows).parent)
