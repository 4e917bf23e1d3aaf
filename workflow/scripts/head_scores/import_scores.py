"""Take in head scores made elsewhere, as if the workflow had made them.

Outputs: head_score/<model>.json in the released format, its sidecar, and the ranking
(columns: retrieval_heads.head_scores.ranking).
"""

import hashlib
import json
import logging
from pathlib import Path

from retrieval_heads.head_scores.formats import own
from retrieval_heads.head_scores.formats.registry import read, score_of
from retrieval_heads.head_scores.ranking import rank_heads
from retrieval_heads.head_scores.scores import sidecar, write_scores
from retrieval_heads.running.logs import job_log


def import_scores(source: str, outputs, model: str, entry: dict, threshold: float) -> None:
    """Read one file in its format; raises `HeadScoreError`, and writes nothing, when the file breaks it."""
    head_scores = read(Path(source), entry["format"], entry["group_size"])
    ranked = rank_heads(head_scores)
    meta = {
        "model": model,
        "score": score_of(Path(source), entry["format"]),
        "threshold": threshold,
        "cells": None,
        "retrieval_heads": int((ranked["score"] > threshold).sum()),
        "files": {Path(source).name: hashlib.sha256(Path(source).read_bytes()).hexdigest()},
        "format": entry["format"],
        **measured(Path(source), entry["format"]),
    }
    ranked.to_csv(outputs.ranking, sep="\t", index=False, float_format="%.6g")
    write_scores(Path(outputs.head_score), head_scores, meta)
    cells = "means only" if head_scores.averaged else f"{len(head_scores.scores)} cells"
    logging.info("%s: %d heads, %s, %d of them all zero", model, len(ranked), cells, head_scores.empty_cells)


def measured(source: Path, form: str) -> dict:
    """Under `measured`, what the sidecar of scores that this workflow made says of their model and cells."""
    if form != "own":
        return {}
    said = json.loads(sidecar(source).read_text(encoding="utf-8"))
    return {"measured": {key: value for key, value in said.items() if key not in own.KEYS}}


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        import_scores(
            snakemake.input.files[0],
            snakemake.output,
            snakemake.wildcards.model,
            json.loads(snakemake.params.entry),
            snakemake.params.threshold,
        )
