"""The released format with the sidecar that this workflow writes beside it (`scores.write_scores`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retrieval_heads.head_scores.formats.columns import NUMBER, as_array, check_signs, parse, read_text
from retrieval_heads.head_scores.scores import HeadScoreError, HeadScores, sidecar

KEYS = ("successful_cells", "averaged", "cells_in_order", "heads_by_layer")


def read(path: Path, group_size: int | None = None) -> HeadScores:
    """Raises `HeadScoreError` when the sidecar is missing or belongs to another file. The sidecar knows the groups."""
    beside = sidecar(path)
    if not beside.is_file():
        raise HeadScoreError(f"{path}: there is no sidecar '{beside}'; put it there or give format: released")
    meta = parse(beside, read_text(beside))
    missing = [key for key in KEYS if not isinstance(meta, dict) or key not in meta]
    if missing:
        raise HeadScoreError(
            f"{beside}: the key '{missing[0]}' is missing; take the sidecar anew, or give format: released"
        )
    if not isinstance(meta["averaged"], bool):
        raise HeadScoreError(f"{beside}: 'averaged' is neither true nor false; take the sidecar anew")
    scores = as_array(path, parse(path, read_text(path)))
    imported = meta.get("measured")
    check_signs(path, scores, meta.get("score", imported.get("score") if isinstance(imported, dict) else None))
    cells = _cells(beside, meta["cells_in_order"])
    if len(scores) != meta["successful_cells"] or (cells is not None and len(cells) != len(scores)):
        raise HeadScoreError(
            f"{path}: {len(scores)} cells, but its sidecar has {meta['successful_cells']}; take both anew"
        )
    groups = _heads_by_layer(beside, meta["heads_by_layer"], scores.shape[1:])
    found = HeadScores(scores, cells, groups, meta["averaged"])
    if np.count_nonzero(scores) != np.count_nonzero(found.flat):
        raise HeadScoreError(
            f"{beside}: 'heads_by_layer' leaves out a head that scores in '{path}'; take both files anew"
        )
    return found


def _cells(path: Path, records: Any) -> pd.DataFrame | None:
    if records is None:
        return None
    if not isinstance(records, list) or not all(map(_is_cell, records)):
        raise HeadScoreError(
            f"{path}: 'cells_in_order' is no list of cells, each with the name of its 'needle', and with "
            "numbers as 'length' and 'depth' where they are known; take the sidecar anew"
        )
    return pd.DataFrame(records)


def _is_cell(record: Any) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("needle"), str):
        return False
    return all(record.get(key) is None or type(record[key]) in (int, float) for key in ("length", "depth"))


def _heads_by_layer(path: Path, found: Any, shape: tuple[int, int]) -> dict[int, tuple[int, int | None]]:
    """Layer -> (heads, kv_heads), for layers and heads that the scores have."""
    layers, heads = shape
    try:
        fits = all(
            # Two spellings of a layer would be one layer.
            NUMBER.fullmatch(layer)
            and int(layer) < layers
            and all(type(count) is int for count in (here, kv_heads) if count is not None)
            and 0 < here <= heads
            and (kv_heads is None or (kv_heads > 0 and here % kv_heads == 0))
            for layer, (here, kv_heads) in found.items()
        )
        groups = {int(layer): (here, kv_heads) for layer, (here, kv_heads) in found.items()}
    except (AttributeError, TypeError, ValueError):
        groups, fits = {}, False
    if not groups or not fits:
        raise HeadScoreError(
            f"{path}: 'heads_by_layer' does not fit the {layers} layers x {heads} heads of the scores (each layer: "
            "heads, and KV heads that divide them, or null); take the sidecar anew"
        )
    return groups
