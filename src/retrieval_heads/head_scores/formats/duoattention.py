"""DuoAttention's full_attention_heads.tsv: one row a layer, one column a KV head, gate values 0..1, no header.

As written and read by https://github.com/mit-han-lab/duo-attention (arXiv 2410.10819), which cuts the values to 0..1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from retrieval_heads.head_scores.formats.columns import by_layer, read_text
from retrieval_heads.head_scores.scores import HeadScoreError, HeadScores
from retrieval_heads.running.cell_store import write_atomically


def write(path: Path, head_scores: HeadScores) -> None:
    """A KV head gets the highest mean of its query heads, for it must be kept when any one of them retrieves."""
    index = head_scores.index
    if index["kv_group"].isna().any():
        raise HeadScoreError(f"{path}: it is not known which heads share keys; give group_size in the config")
    means = index.assign(score=head_scores.flat.mean(0).clip(0, 1))
    grid = means.pivot_table(index="layer", columns="kv_group", values="score", aggfunc="max")
    grid = grid.reindex(range(head_scores.scores.shape[1])).fillna(0)
    write_atomically(path, "".join("\t".join(f"{value:.6f}" for value in row) + "\n" for row in grid.to_numpy()))


def read(path: Path, group_size: int | None = None) -> HeadScores:
    """Every query head gets the value of its KV head; without a group_size each KV head stands for one query head."""
    rows = [line.rstrip("\r").split("\t") for line in read_text(path).split("\n") if line.strip()]
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        raise HeadScoreError(f"{path}: rows of {sorted(widths)} values; every layer needs one for each KV head")
    try:
        gates = np.array(rows, dtype=float)
    except ValueError as error:
        raise HeadScoreError(f"{path}: {error}; the file holds numbers between tabs and no header") from error
    if not np.isfinite(gates).all():
        raise HeadScoreError(f"{path}: a value is not a finite number")
    if (np.abs(gates - 0.5) > 1.5).any():
        raise HeadScoreError(f"{path}: a value of {gates.flat[np.abs(gates - 0.5).argmax()]:.4g}; gates lie in 0 to 1")
    scores = gates.clip(0, 1).repeat(group_size or 1, axis=1)[None]
    return HeadScores(scores, None, by_layer(path, scores.shape[1:], group_size or 1), averaged=True)
