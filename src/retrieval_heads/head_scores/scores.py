"""Head scores of one model, and the file in which they are kept: the released format, and a sidecar for the rest.

The released format (https://github.com/nightdessert/Retrieval_Head, folder head_score): one object on one line, keys
"layer-head" in layer-major order, all heads of the model, each with a non-empty list of one score a successful cell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retrieval_heads.head_scores.intervals import UNKNOWN, count_needles
from retrieval_heads.rounding import settled
from retrieval_heads.running.cell_store import write_atomically

SIDECAR = ".meta.json"
CELL = ["needle", "length", "depth"]
# What an interval can resample, by what is known of the cells.
RESAMPLED = {"needles": "needles, then cells", "cells": "cells", "nothing": "nothing"}


class HeadScoreError(ValueError):
    """Head scores that cannot be used; the message names the file, the reason and the remedy."""


@dataclass(frozen=True)
class HeadScores:
    """The scores of all heads of a model over the cells that it passed.

    scores: float [cells, layers, heads], 0 where a layer has no such head. cells: one row a cell, `needle` and, where
    it is known, `length` and `depth`; None where nothing is known of them. heads_by_layer: layer -> (heads, kv_heads);
    None stands for all layers with all heads, and kv_heads is None where it is not known. averaged: `scores` holds one
    mean a head, so nothing can be said about single cells.
    """

    scores: np.ndarray
    cells: pd.DataFrame | None = None
    heads_by_layer: Mapping[int, tuple[int, int | None]] | None = None
    averaged: bool = False

    @property
    def means(self) -> np.ndarray:
        """Mean score of every head, [layers, heads]."""
        return settled(self.scores.mean(0))

    @property
    def empty(self) -> np.ndarray:
        """bool [cells]: no head scored anything there; in published files, needles that were not found again."""
        return (self.scores == 0).all(axis=(1, 2))

    @property
    def empty_cells(self) -> int:
        """How many cells are empty."""
        return int(self.empty.sum())

    @property
    def needles(self) -> pd.Series:
        """The needle of each cell, `UNKNOWN` where it is not known."""
        if self.cells is None:
            return pd.Series([UNKNOWN] * len(self.scores))
        return self.cells["needle"].reset_index(drop=True)

    @property
    def resampled(self) -> str:
        """What a bootstrap of these scores resamples."""
        if self.averaged:
            return RESAMPLED["nothing"]
        return RESAMPLED["needles" if count_needles(self.needles) > 1 else "cells"]

    @cached_property
    def index(self) -> pd.DataFrame:
        """layer, head, kv_group of the heads that are there, layer by layer; kv_group is missing where not known."""
        layers, heads = self.scores.shape[1:]
        by_layer = self.heads_by_layer or {layer: (heads, None) for layer in range(layers)}
        rows = [
            (layer, head, pd.NA if kv_heads is None else head // (here // kv_heads))
            for layer, (here, kv_heads) in sorted(by_layer.items())
            for head in range(here)
        ]
        return pd.DataFrame(rows, columns=["layer", "head", "kv_group"]).astype("Int64")

    @cached_property
    def flat(self) -> np.ndarray:
        """The scores of the heads of `index`, float [cells, heads]."""
        return self.scores[:, self.index["layer"].to_numpy(int), self.index["head"].to_numpy(int)]


def from_table(
    table: pd.DataFrame,
    score: str,
    shape: tuple[int, int],
    heads_by_layer: Mapping[int, tuple[int, int | None]] | None = None,
) -> HeadScores:
    """Head scores of the cells in a table (needle, length, depth, layer, head, `score`), heads without a row at 0."""
    cells = table.groupby(CELL, sort=False)
    scores = np.zeros((cells.ngroups, *shape))
    for number, (_, cell) in enumerate(cells):
        scores[number, cell["layer"], cell["head"]] = cell[score]
    return HeadScores(scores, pd.DataFrame([name for name, _ in cells], columns=CELL), heads_by_layer)


def as_columns(head_scores: HeadScores) -> dict[str, list[float]]:
    """ "layer-head" -> one score a cell, to six decimals."""
    _, layers, heads = head_scores.scores.shape
    rounded = head_scores.scores.round(6)
    return {f"{layer}-{head}": rounded[:, layer, head].tolist() for layer in range(layers) for head in range(heads)}


def sidecar(path: Path) -> Path:
    """Where the metadata of a file of head scores lie."""
    return path.with_suffix(SIDECAR)


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


def write_scores(path: Path, head_scores: HeadScores, meta: Mapping[str, Any]) -> None:
    """The file, whole or not at all, and before it its sidecar with `meta` and what `describe` says."""
    sidecar(path).write_text(json.dumps({**meta, **describe(head_scores)}, indent=1) + "\n", encoding="utf-8")
    write_atomically(path, json.dumps(as_columns(head_scores)) + "\n")
