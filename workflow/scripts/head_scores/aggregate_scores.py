"""Gather the scores of one model's heads over its successful cells, and rank the heads by their means.

Outputs: head_score/<model>.json in the released format (of every head one score a successful cell, no mean), a sidecar
with everything that format has no room for, and the ranking (columns: retrieval_heads.head_scores.ranking).
"""

import json
from pathlib import Path

import pandas as pd

from retrieval_heads.head_scores.ranking import rank_heads
from retrieval_heads.head_scores.scores import CELL, HeadScoreError, from_table, write_scores
from retrieval_heads.running.logs import job_log
from retrieval_heads.text_tables import read_table


def aggregate_scores(inputs, outputs, model: str, score: str, threshold: float) -> None:
    """Write scores, sidecar and ranking; raises `HeadScoreError`, and writes nothing, when no cell was successful."""
    cells = read_table(inputs.cells)
    info = json.loads(Path(inputs.model).read_text(encoding="utf-8"))
    passed = cells[cells["passed"]]
    if passed.empty:
        raise HeadScoreError(
            f"{model}: none of {len(cells)} cells passed (best ROUGE-1 recall {cells['rouge1_recall'].max():.0f} %), "
            f"so there is nothing to average. First response: {cells['response'].iloc[0]!r}, stopped at its first "
            f"newline, the end token or prompt.max_new_tokens; {(cells['response'] == '').sum()} responses are empty. "
            "Try shorter detection.lengths, a cue in the needle table, or models.*.chat"
        )
    table = pd.read_csv(inputs.scores, sep="\t").merge(passed[CELL], on=CELL)
    groups = {int(layer): tuple(heads) for layer, heads in info["heads_by_layer"].items()}
    head_scores = from_table(table, score, (info["layers"], info["heads"]), groups)
    ranked = rank_heads(head_scores)
    meta = {
        "model": model,
        "score": score,
        "threshold": threshold,
        "cells": len(cells),
        "retrieval_heads": int((ranked["score"] > threshold).sum()),
        "files": info["files"],
        **({"gguf": info["gguf"]} if "gguf" in info else {}),
    }
    ranked.to_csv(outputs.ranking, sep="\t", index=False, float_format="%.6g")
    write_scores(Path(outputs.head_score), head_scores, meta)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        aggregate_scores(
            snakemake.input,
            snakemake.output,
            snakemake.wildcards.model,
            snakemake.params.score,
            snakemake.params.threshold,
        )
