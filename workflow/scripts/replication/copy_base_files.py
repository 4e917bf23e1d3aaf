"""Give a variant the files of its model that none of its quirks changes.

Outputs: copies of the inputs, in their order, and beside each table of cells the records of the machines that it names.
"""

import shutil
from pathlib import Path

from retrieval_heads.running.logs import job_log


def copy_base_files(files: list[str], copies: list[str]) -> None:
    """Copy `files` to `copies`."""
    for file, copied in zip(map(Path, files), map(Path, copies), strict=True):
        shutil.copyfile(file, copied)
        if file.name == "cells.tsv":
            for record in file.parent.glob("machine_*.json"):
                shutil.copyfile(record, copied.parent / record.name)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        copy_base_files(list(snakemake.input), list(snakemake.output))
