"""Choose the head sets of one model from its ranking.

Output: JSON list of {"name", "kind": top | random | bottom, "k", "seed", "heads": [[layer, head], ...]}.
"""

import json
from pathlib import Path

import pandas as pd

from retrieval_heads.masking.head_sets import choose_head_sets
from retrieval_heads.running.logs import job_log


def select_head_sets(ranking: str, settings: dict, threshold: float, quirks: list[str], output: str) -> None:
    """Write the head sets that the config asks for."""
    table = pd.read_csv(ranking, sep="\t")
    sets = choose_head_sets(table, threshold=threshold, **settings)
    if quirks:
        from retrieval_heads.replication.controls import released_controls

        sets = released_controls(sets, table, quirks, threshold=threshold, seed=settings["seed"])
    Path(output).write_text(json.dumps(sets, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        select_head_sets(
            snakemake.input.ranking,
            json.loads(snakemake.params.settings),
            snakemake.params.threshold,
            snakemake.params.quirks,
            snakemake.output[0],
        )
