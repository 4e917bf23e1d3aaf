"""The formats of head-score files by name. A module of its own, so that no format imports the others."""

from __future__ import annotations

import json
from pathlib import Path

from retrieval_heads.head_scores.formats import duoattention, envelope, own, qrhead, released
from retrieval_heads.head_scores.formats.columns import read_text
from retrieval_heads.head_scores.scores import HeadScores, sidecar

# The score of formats whose files name none.
UNNAMED = {"released": "copy_count", "qrhead": "query_focused", "duoattention": "gate"}
FORMATS = {"released": released, "envelope": envelope, "qrhead": qrhead, "duoattention": duoattention, "own": own}


def read(path: Path, form: str, group_size: int | None = None) -> HeadScores:
    """Read a file made elsewhere. form: a key of `FORMATS`. group_size: query heads that share keys, where known.

    Raises `HeadScoreError` with the reason when the file breaks its format.
    """
    return FORMATS[form].read(Path(path), group_size)


def score_of(path: Path, form: str) -> str | None:
    """The name of the score that a file holds, which `read` has read; None where it is not said."""
    if form == "own":
        return json.loads(sidecar(path).read_text(encoding="utf-8")).get("score")
    if form == "envelope":
        meta = json.loads(read_text(path))["meta"]
        return meta.get("score", "copy_count") if isinstance(meta, dict) else "copy_count"
    return UNNAMED[form]
