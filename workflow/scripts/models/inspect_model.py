"""Read the architecture of a checkpoint and hash its files.

Output: JSON with the info of retrieval_heads.models.ModelInfo and, under `files`, the SHA-256 of each file; where it
was converted from a GGUF file, under `gguf`, what that file was.
"""

import json
from pathlib import Path

from retrieval_heads.models.loading import describe
from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.gguf.header import RECORD


def inspect_model(checkpoint: str, settings: dict, output: str) -> None:
    """Write the info of one checkpoint; refuses an unsupported architecture by name."""
    info = describe(checkpoint, settings["rope"], settings["window"])
    record = Path(checkpoint, RECORD)
    if record.is_file():
        info["gguf"] = json.loads(record.read_text(encoding="utf-8"))
    Path(output).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        inspect_model(snakemake.params.checkpoint, json.loads(snakemake.params.spec), snakemake.output[0])
