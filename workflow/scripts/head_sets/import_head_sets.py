"""Take in head sets that others chose, so that they are masked without a ranking.

Output: JSON list of {"name", "kind", "k", "seed", "heads": [[layer, head], ...]}, as select_head_sets.py writes it.
"""

import json
from pathlib import Path

from retrieval_heads.masking.head_set_files import read_head_sets
from retrieval_heads.running.logs import job_log


def import_head_sets(file: str, model: str, output: str) -> None:
    """Check the sets of a file against the info of a model and write them."""
    info = json.loads(Path(model).read_text(encoding="utf-8"))
    heads = {int(layer): counts[0] for layer, counts in info["heads_by_layer"].items()}
    Path(output).write_text(json.dumps(read_head_sets(Path(file), heads), indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        import_head_sets(snakemake.input.file, snakemake.input.model, snakemake.output[0])
