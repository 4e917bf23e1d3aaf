"""Choose the head sets of one model from its ranking.

Output: JSON list of {"name", "kind": top | random | bottom, "k", "seed", "heads": [[layer, head], ...]}.
"""

import json
from pathlib import Path

import pandas as pd
from retrieval_heads.head_sets import build
from retrieval_heads.job_log import job_log
from retrieval_heads.quirks.controls import released_controls


def select_heads(ranking: str, settings: dict, threshold: float, quirks: list[str], output: str) -> None:
    """Write the head sets that the config asks for."""
    table = pd.read_csv(ranking, sep="\t")
    sets = build(table, threshold=threshold, **settings)
    if quirks:
        sets = released_controls(sets, table, quirks, threshold=threshold, seed=settings["seed"])
    Path(output).write_text(json.dumps(sets, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        select_heads(
            snakemake.input.ranking,
            json.loads(snakemake.params.settings),
            snakemake.params.threshold,
            snakemake.params.quirks,
            snakemake.output[0],
        )
