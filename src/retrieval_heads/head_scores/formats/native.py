"""The released format with the sidecar that this workflow writes beside it, which knows the cells and the groups."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from retrieval_heads.head_scores.formats import wu2024 as released
from retrieval_heads.head_scores.formats.columns import as_array, parse
from retrieval_heads.head_scores.scores import HeadScoreError, HeadScores


def sidecar(path: Path) -> Path:
    """Where the metadata of a file of head scores lie."""
    return path.with_suffix(".meta.json")


def describe(head_scores: HeadScores) -> dict[str, Any]:
    """What the released format has no room for, as JSON-able values."""
    cells = head_scores.cells
    index = head_scores.index
    groups = index.groupby("layer").agg(heads=("head", "size"), kv_heads=("kv_group", "nunique"))
    known = index["kv_group"].notna().all()
    return {
        "successful_cells": len(head_scores.scores),
        "empty_cells": head_scores.empty_cells,
        "averaged": head_scores.averaged,
        "cells_in_order": None if cells is None else cells.to_dict("records"),
        "heads_by_layer": {
            str(row.Index): [int(row.heads), int(row.kv_heads) if known else None] for row in groups.itertuples()
        },
    }


def write(path: Path, head_scores: HeadScores, meta: Mapping[str, Any]) -> None:
    """The file, and its sidecar with `meta` and what `describe` says."""
    sidecar(path).write_text(json.dumps({**meta, **describe(head_scores)}, indent=1) + "\n", encoding="utf-8")
    released.write(path, head_scores)


def read(path: Path, group_size: int | None = None) -> HeadScores:
    """Raises `HeadScoreError` when the sidecar is missing or belongs to another file. The sidecar knows the groups."""
    if not sidecar(path).is_file():
        raise HeadScoreError(f"{path}: there is no sidecar '{sidecar(path)}'; put it there or give format: released")
    meta = parse(sidecar(path), sidecar(path).read_text(encoding="utf-8"))
    scores = as_array(path, parse(path, path.read_text(encoding="utf-8")))
    cells = None if meta["cells_in_order"] is None else pd.DataFrame(meta["cells_in_order"])
    if len(scores) != meta["successful_cells"] or (cells is not None and len(cells) != len(scores)):
        raise HeadScoreError(
            f"{path}: {len(scores)} cells, but its sidecar has {meta['successful_cells']}; take both anew"
        )
    by_layer = {int(layer): (heads, kv_heads) for layer, (heads, kv_heads) in meta["heads_by_layer"].items()}
    return HeadScores(scores, cells, by_layer, meta["averaged"])
