"""The head sets of the calibration: all planted heads, and all the others.

Input: phantom.json (layer, head, role, strength). Output: head sets as in select_head_sets.py.
"""

import json
from pathlib import Path

from retrieval_heads.running.logs import job_log


def select_planted_heads(phantom: str, output: str) -> None:
    """Write the two sets."""
    heads = json.loads(Path(phantom).read_text(encoding="utf-8"))
    sets = []
    for name, wanted in (("planted", True), ("others", False)):
        chosen = [[head["layer"], head["head"]] for head in heads if (head["role"] == "copy") == wanted]
        sets.append({"name": name, "kind": name, "k": len(chosen), "seed": None, "heads": chosen})
    Path(output).write_text(json.dumps(sets, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        select_planted_heads(snakemake.input[0], snakemake.output[0])
