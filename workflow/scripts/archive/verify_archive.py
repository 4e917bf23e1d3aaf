"""Check an archive, restore the study in it, and draw its figures again.

Outputs: a folder with the study (code, config, inputs, scores, tables, figures drawn now), in which Snakemake can go
on, and a table with one row a file: file, sha256, checked (hash: unchanged; redrawn: drawn again, byte for
byte).
The notebooks and the code of the archive are run: check only what you would also run.
"""

import os
from pathlib import Path

import pandas as pd

from retrieval_heads.archive.check import ArchiveError, check, sha256, unpack
from retrieval_heads.figures.notebooks import redraw
from retrieval_heads.running.logs import job_log

FIGURES = "results/figures/"


def verify_archive(path: str, folder: str, table: str) -> None:
    """Raise `ArchiveError` when a file was changed, or a figure comes out different."""
    known, study = check(Path(path)), Path(folder)
    figures = {name for name in known if name.startswith(FIGURES)}
    unpack(Path(path), study, sorted(known.keys() - figures))
    for notebook in sorted(study.glob("results/notebooks/*.ipynb")):
        redraw(notebook, study)
    drawn = {name: sha256(study / name) for name in figures if (study / name).is_file()}
    different = [name for name in sorted(figures) if drawn.get(name) != known[name]]
    if different:
        raise ArchiveError(
            f"{path}: the hashes are right, but these figures come out different: {', '.join(different)}. Compare the "
            "versions in provenance/packages.tsv with those of this environment"
        )
    # They are the same files: no younger than the other results, or Snakemake would make the page of the study again.
    when = max((study / name).stat().st_mtime for name in known.keys() - figures)
    for name in figures:
        os.utime(study / name, (when, when))
    rows = [(name, digest, "redrawn" if name in figures else "hash") for name, digest in sorted(known.items())]
    pd.DataFrame(rows, columns=["file", "sha256", "checked"]).to_csv(table, sep="\t", index=False)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        verify_archive(snakemake.input.archive, snakemake.output.study, snakemake.output.table)
