"""Convert a GGUF file into a Hugging Face checkpoint, once.

Output: a folder with config, tokenizer, safetensors, and gguf.json (the file's SHA-256 and how its weights are stored).
"""

import shutil
from pathlib import Path

from transformers.utils import logging

from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.gguf.checkpoint import convert


def convert_model(file: str, key: str, dtype: str, folder: str, logger) -> None:
    """Convert beside the folder and rename: a killed conversion starts over."""
    logging.set_verbosity_warning()
    part = Path(f"{folder}.part")
    shutil.rmtree(part, ignore_errors=True)
    record = convert(Path(file), part, dtype, key)
    part.rename(folder)
    logger.info("%s: %s-bit weights, SHA-256 %s", record["file"], record["bits"], record["sha256"])


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        convert_model(snakemake.input.file, snakemake.params.key, snakemake.params.dtype, snakemake.output[0], journal)
