"""How many cells a ranking needs: overlap of the top heads of a few cells with those of many."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from retrieval_heads.analysis.agreement import top
from retrieval_heads.head_scores.ranking import any_score

SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
# A quick run: enough cells for a first look. Its expected overlap stands in the stability table.
QUICK = 10


def rank_stability(
    scores: np.ndarray, k: int, *, sizes: Iterable[int] = SIZES, draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """cells of k overlap overlap_low overlap_high held_out held_out_low held_out_high chance quick, one row a number of
    cells.

    scores: float [cells, heads]. cells: drawn at random without replacement out of `of`, `draws` times. overlap: share
    of the top k heads by the drawn cells that are among the top k by all cells. held_out: the same against the cells
    that were not drawn, which the draw cannot have helped. low, high: 2.5 and 97.5 percentiles over the draws: what one
    short run may give. Sizes above half of the cells are left out. chance: what two random sets of k heads share.
    quick: the size of a quick run. NaN: held_out of a
    single cell, and overlaps with cells in which no head scores above 0. Drawn cells in which none does share nothing.
    """
    generator = np.random.default_rng(seed)
    k = min(k, scores.shape[1])
    final = _top(scores, k)
    rows = []
    for size in (size for size in sizes if size == 1 or 2 * size <= len(scores)):
        found = []
        for _ in range(draws):
            cells = generator.permutation(len(scores))
            drawn, rest = _top(scores[cells[:size]], k), _top(scores[cells[size:]], k)
            found.append((_shared(drawn, final, k), _shared(drawn, rest, k)))
        mean, (low, high) = np.mean(found, axis=0), np.percentile(found, (2.5, 97.5), axis=0)
        row = {
            "cells": size,
            "of": len(scores),
            "k": k,
            "overlap": mean[0],
            "overlap_low": low[0],
            "overlap_high": high[0],
        }
        row |= {"held_out": mean[1], "held_out_low": low[1], "held_out_high": high[1]}
        row |= {"chance": k / scores.shape[1], "quick": size == QUICK}
        rows.append(row)
    return pd.DataFrame(rows)


def _top(scores: np.ndarray, k: int) -> set[int] | None:
    """The top k heads by the mean of some cells; None where there are none."""
    means = scores.mean(0) if len(scores) else np.zeros(scores.shape[1])
    return set(top(means, k)) if any_score(means) else None


def _shared(drawn: set[int] | None, reference: set[int] | None, k: int) -> float:
    return np.nan if reference is None else len((drawn or set()) & reference) / k
