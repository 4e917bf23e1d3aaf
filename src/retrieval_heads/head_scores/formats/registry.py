"""The formats of head-score files by name. A module of its own, so that no format imports the others."""

from __future__ import annotations

from pathlib import Path

from retrieval_heads.head_scores.formats import duoattention, envelope, own, qrhead, released
from retrieval_heads.head_scores.scores import HeadScores

FORMATS = {"released": released, "envelope": envelope, "qrhead": qrhead, "duoattention": duoattention, "own": own}


def read(path: Path, form: str, group_size: int | None = None) -> HeadScores:
    """Read a file made elsewhere. form: a key of `FORMATS`. group_size: query heads that share keys, where known.

    Raises `HeadScoreError` with the reason when the file breaks its format.
    """
    return FORMATS[form].read(Path(path), group_size)
