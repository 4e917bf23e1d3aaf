"""Choose the head sets that validate the general retrieval heads of one model.

Output: JSON list of {"name", "kind": top (the general heads) | random | bottom (the lowest), "k", "seed", "heads":
[[layer, head], ...]}.
"""

import json
from pathlib import Path

import pandas as pd

from retrieval_heads.running.logs import job_log
from retrieval_heads.sum_attention.ranking import validation_sets


def select_general_heads(combined: str, settings: dict, output: str) -> None:
    """combined: all heads with their mean score and in how many tasks they are at the top."""
    sets = validation_sets(pd.read_csv(combined, sep="\t"), **settings)
    Path(output).write_text(json.dumps(sets, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        select_general_heads(snakemake.input.combined, json.loads(snakemake.params.settings), snakemake.output[0])
