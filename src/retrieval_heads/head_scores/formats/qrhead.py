"""QRHead's ranked list: [["layer-head", score], ...], the highest first, one mean a head.

As written by exp_scripts/detection of https://github.com/princeton-pli/QRHead (arXiv 2506.09944).
"""

from __future__ import annotations

import json
from pathlib import Path

from retrieval_heads.head_scores.formats.columns import as_array, by_layer, parse, read_text
from retrieval_heads.head_scores.ranking import rank_heads
from retrieval_heads.head_scores.scores import HeadScoreError, HeadScores
from retrieval_heads.running.cell_store import write_atomically


def write(path: Path, head_scores: HeadScores) -> None:
    """Means over the cells, to six decimals."""
    ranked = rank_heads(head_scores, draws=1)
    pairs = [[f"{row.layer}-{row.head}", round(row.score, 6)] for row in ranked.itertuples()]
    write_atomically(path, json.dumps(pairs, indent=4) + "\n")


def read(path: Path, group_size: int | None = None) -> HeadScores:
    """All heads must be in the list: a list of the best few cannot be told from a smaller model."""
    pairs = parse(path, read_text(path))
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise HeadScoreError(f'{path}: not a list of ["layer-head", score] pairs; is this the right file and format?')
    columns = {str(key): [score] for key, score in pairs}
    if len(columns) != len(pairs):
        raise HeadScoreError(f"{path}: {len(pairs) - len(columns)} heads stand twice; every head needs one score")
    scores = as_array(path, columns)
    return HeadScores(scores, None, by_layer(path, scores.shape[1:], group_size), averaged=True)
