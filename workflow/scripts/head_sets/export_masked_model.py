"""Write a checkpoint in which the heads of one head set are zeroed, loadable wherever the original is.

Output: a folder with weights, configuration, tokenizer and masked_heads.json (head_set, unit, heads).
"""

import json
from pathlib import Path

from retrieval_heads.masking.checkpoint_export import export_masked
from retrieval_heads.masking.masks import HeadMask, MaskError
from retrieval_heads.models import loading as models
from retrieval_heads.running.logs import job_log


def export(checkpoint: str, spec: dict, head_sets: str, name: str, unit: str, output: str) -> None:
    """Load the model on the CPU, unquantised, and save it without the heads of the set `name`."""
    sets = {entry["name"]: entry["heads"] for entry in json.loads(Path(head_sets).read_text(encoding="utf-8"))}
    if name not in sets:
        raise MaskError(f"there is no head set '{name}' in {head_sets}; it has {', '.join(sets)}")
    settings = {key: spec[key] for key in ("dtype", "rope", "window")}
    loaded = models.load(checkpoint, device="cpu", **settings)
    export_masked(loaded, HeadMask(tuple(map(tuple, sets[name])), unit=unit), Path(output), name)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        export(
            snakemake.params.checkpoint,
            json.loads(snakemake.params.spec),
            snakemake.input.head_sets,
            snakemake.wildcards.head_set,
            snakemake.params.unit,
            snakemake.output[0],
        )
