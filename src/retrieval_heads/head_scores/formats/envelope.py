"""The released format in an envelope: {"meta": {...}, "scores": {"layer-head": [one score a cell]}}."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieval_heads.head_scores.formats.columns import as_array, by_layer, check_signs, parse, read_text
from retrieval_heads.head_scores.formats.needle_blocks import needle_blocks
from retrieval_heads.head_scores.scores import HeadScoreError, HeadScores, as_columns
from retrieval_heads.running.cell_store import write_atomically


def write(path: Path, head_scores: HeadScores, meta: Mapping[str, Any]) -> None:
    """Scores and metadata in one file."""
    write_atomically(path, json.dumps({"meta": meta, "scores": as_columns(head_scores)}) + "\n")


def read(path: Path, group_size: int | None = None) -> HeadScores:
    """Of the metadata only the name of the score is read: every writer has keys of its own.

    Without a name it is the copy score of the released code, `copy_count`.
    """
    content = parse(path, read_text(path))
    if not isinstance(content, dict) or set(content) != {"meta", "scores"}:
        raise HeadScoreError(f"{path}: an envelope has the keys 'meta' and 'scores' and no other")
    scores, meta = as_array(path, content["scores"]), content["meta"]
    check_signs(path, scores, meta.get("score", "copy_count") if isinstance(meta, dict) else "copy_count")
    return HeadScores(scores, needle_blocks(scores), by_layer(path, scores.shape[1:], group_size))
