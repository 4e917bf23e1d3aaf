"""The released format alone, as files made elsewhere have it (`head_scores.scores`)."""

from __future__ import annotations

import json
from pathlib import Path

from retrieval_heads.head_scores.formats.columns import as_array, by_layer, parse, read_text
from retrieval_heads.head_scores.formats.needle_blocks import needle_blocks
from retrieval_heads.head_scores.scores import HeadScoreError, HeadScores


def read(path: Path, group_size: int | None = None) -> HeadScores:
    """The needles of the cells are found again by the scores themselves, where they tell (`needle_blocks`)."""
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    if len(lines) > 1 and _is_one_object(lines):
        raise HeadScoreError(f"{path}: one object over {len(lines)} lines; write it on one, as `jq -c .` does")
    if len(lines) != 1:
        raise HeadScoreError(f"{path}: {len(lines)} lines, where the whole object belongs on one; append nothing to it")
    columns = parse(path, lines[0])
    if isinstance(columns, dict) and {"meta", "scores"} <= set(columns):
        raise HeadScoreError(f"{path}: an envelope with 'meta' and 'scores'; give it with format: envelope")
    scores = as_array(path, columns)
    if (scores < 0).any():
        raise HeadScoreError(f"{path}: a score below 0, which no count of copied tokens is; is this another score?")
    return HeadScores(scores, needle_blocks(scores), by_layer(path, scores.shape[1:], group_size))


def _is_one_object(lines: list[str]) -> bool:
    """Whether lines are one object that was set out for reading."""
    try:
        json.loads("\n".join(lines))
    except (ValueError, RecursionError):
        return False
    return True
