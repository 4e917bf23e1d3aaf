"""Head scores as a file that other tools read, and the ranking of heads.

The released format (https://github.com/nightdessert/Retrieval_Head, folder head_score): the whole object on one line,
keys "layer-head" in layer-major order, all heads of the model, each with a non-empty list of one score a cell.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from retrieval_heads.cell_store import write_atomically


class HeadScoreError(ValueError):
    """Head scores that cannot be used; the message names the file, the reason and the remedy."""


@dataclass(frozen=True)
class HeadScores:
    """scores: float [cells, layers, heads]."""

    scores: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """Mean score of every head, [layers, heads]."""
        return self.scores.mean(0)

    @property
    def empty_cells(self) -> int:
        """Cells in which no head scored anything: in published files, needles that were not found again."""
        return int((self.scores == 0).all(axis=(1, 2)).sum())


def from_table(table: pd.DataFrame, score: str, shape: tuple[int, int]) -> HeadScores:
    """Head scores of the cells in a table (needle, length, depth, layer, head, `score`), heads without a row at 0."""
    cells = table.groupby(["needle", "length", "depth"], sort=False)
    scores = np.zeros((cells.ngroups, *shape))
    for number, (_, cell) in enumerate(cells):
        scores[number, cell["layer"], cell["head"]] = cell[score]
    return HeadScores(scores)


def write_released(path: Path, head_scores: HeadScores) -> None:
    """Write the released format; the file appears whole or not at all."""
    _, layers, heads = head_scores.scores.shape
    columns = {
        f"{layer}-{head}": [round(float(score), 6) for score in head_scores.scores[:, layer, head]]
        for layer in range(layers)
        for head in range(heads)
    }
    write_atomically(path, json.dumps(columns) + "\n")


def read_released(path: Path) -> HeadScores:
    """Read the released format; raises `HeadScoreError` with the reason when a file breaks it."""
    lines = [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(lines) != 1:
        raise HeadScoreError(f"{path}: {len(lines)} lines, where the whole object belongs on one; append nothing to it")
    try:
        columns = json.loads(lines[0])
    except json.JSONDecodeError as error:
        raise HeadScoreError(f"{path}: not JSON ({error}); write it again with write_released") from error
    return HeadScores(_as_array(path, columns))


def _as_array(path: Path, columns: Mapping[str, list[float]]) -> np.ndarray:
    places = {}
    for key in columns:
        parts = key.split("-")
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            raise HeadScoreError(f"{path}: the key '{key}' is not 'layer-head'; metadata belongs into a sidecar")
        places[key] = (int(parts[0]), int(parts[1]))
    layers, heads = (max(place[axis] for place in places.values()) + 1 for axis in (0, 1))
    if len(places) != layers * heads:
        raise HeadScoreError(f"{path}: {len(places)} heads of {layers} x {heads}; every head needs a list")
    lengths = {len(scores) for scores in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise HeadScoreError(f"{path}: lists of {sorted(lengths)} scores; every head needs one score a cell")
    array = np.empty((lengths.pop(), layers, heads))
    for key, (layer, head) in places.items():
        array[:, layer, head] = columns[key]
    if not all(map(math.isfinite, array.ravel())):
        raise HeadScoreError(f"{path}: a score is not a finite number; leave failed cells out")
    return array


def bootstrap_weights(needles: pd.Series, draws: int, seed: int) -> np.ndarray:
    """Weights [draws, cells] of a bootstrap that resamples needles, then cells within each; rows add up to 1.

    The needle is the largest source of variance, so cells of one needle are not independent. With a single needle only
    its cells are resampled, and the interval says nothing about other needles.
    """
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(needles.to_numpy() == name) for name in needles.unique()]
    weights = np.zeros((draws, len(needles)))
    for draw in range(draws):
        for chosen in generator.integers(len(members), size=len(members)):
            np.add.at(weights[draw], generator.choice(members[chosen], size=len(members[chosen])), 1)
    return weights / weights.sum(1, keepdims=True)


def ranking(table: pd.DataFrame, score: str, group_size: int, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Heads by mean score: rank layer head kv_group score ci_low ci_high activation_frequency cells needles.

    table: needle, length, depth, layer, head, `score`, one row a head and cell. group_size: query heads that
    share keys.
    Intervals: 95 %, percentile bootstrap over needles, then cells. activation_frequency: share of cells with a
    score above 0 (Wu et al. 2024, Figure 4).
    """
    wide = table.pivot_table(index=["needle", "length", "depth"], columns=["layer", "head"], values=score)
    cells = wide.to_numpy()
    means = bootstrap_weights(wide.index.get_level_values("needle").to_series(), draws, seed) @ cells
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    heads = wide.columns.to_frame(index=False).astype(int)
    heads["kv_group"] = heads["head"] // group_size
    heads["score"] = cells.mean(0)
    heads["ci_low"], heads["ci_high"] = low, high
    heads["activation_frequency"] = (cells > 0).mean(0)
    heads["cells"] = len(cells)
    heads["needles"] = wide.index.get_level_values("needle").nunique()
    heads = heads.sort_values(["score", "layer", "head"], ascending=[False, True, True], ignore_index=True)
    heads.insert(0, "rank", np.arange(1, len(heads) + 1))
    return heads
