"""Would another set of cells, or another needle, have given the same scores?"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from retrieval_heads.analysis.agreement import agreement
from retrieval_heads.head_scores.intervals import UNKNOWN, count_needles
from retrieval_heads.rounding import settled


def split_half(scores: np.ndarray, needles: pd.Series, *, splits: int = 200, seed: int = 0) -> dict[str, float]:
    """Split-half reliability of the mean scores, and its range over random splits.

    scores: float [cells, heads]. The cells of each needle are split at random in two halves; the heads' means over both
    are correlated (Pearson) and lengthened to the whole number of cells (Spearman and Brown: 2 r / (1 + r)). It says
    how well other cells of the same needles would agree, nothing about other needles. NaN when no head varies.
    Keys: reliability, reliability_low, reliability_high (2.5 and 97.5 percentiles over the splits), splits.
    """
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(needles.to_numpy() == name) for name in needles.unique()]
    found = []
    for _ in range(splits):
        shuffled = [generator.permutation(cells) for cells in members]
        first = np.concatenate([cells[: len(cells) // 2] for cells in shuffled])
        second = np.concatenate([cells[len(cells) // 2 :] for cells in shuffled])
        if len(first) == 0:
            break
        found.append(_lengthened(scores[first].mean(0), scores[second].mean(0)))
    mean, low, high = (np.mean(found), *np.percentile(found, (2.5, 97.5))) if found else (np.nan, np.nan, np.nan)
    return {"reliability": mean, "reliability_low": low, "reliability_high": high, "splits": len(found)}


def _lengthened(first: np.ndarray, second: np.ndarray) -> float:
    first, second = settled(first), settled(second)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    r = np.corrcoef(first, second)[0, 1]
    return 2 * r / (1 + r)


def needle_agreement(scores: np.ndarray, needles: pd.Series, k: int, threshold: float) -> pd.DataFrame:
    """needle_a needle_b and the columns of `agreement.agreement`, one row a pair of needles.

    scores: float [cells, heads]. No row where the cells are of one needle, or not known to be of several.
    """
    means = needle_means(scores, needles)
    rows = [
        {"needle_a": a, "needle_b": b, **agreement(means[a], means[b], k, threshold)} for a, b in combinations(means, 2)
    ]
    return pd.DataFrame(rows)


def needle_counts(scores: np.ndarray, needles: pd.Series, threshold: float) -> pd.DataFrame:
    """needle cells retrieval_heads: heads above the threshold by the cells of each needle, of every needle (needle
    "all": in each of them) and of any needle ("any": in at least one)."""
    means = needle_means(scores, needles)
    above = np.array([mean > threshold for mean in means.values()])
    counts = needles.value_counts()
    rows = [
        {"needle": name, "cells": int(counts[name]), "retrieval_heads": int(row.sum())}
        for name, row in zip(means, above, strict=True)
    ]
    for name, row in (("all", above.all(0)), ("any", above.any(0))):
        rows.append({"needle": name, "cells": len(scores), "retrieval_heads": int(row.sum())})
    return pd.DataFrame(rows)


def needle_means(scores: np.ndarray, needles: pd.Series) -> dict[str, np.ndarray]:
    """Needle -> mean score of every head over its cells, in the order in which the needles come.

    Where some needles are known, cells of unknown ones are left out.
    """
    known = needles[needles != UNKNOWN] if count_needles(needles) else needles
    return {name: settled(scores[(needles == name).to_numpy()].mean(0)) for name in known.unique()}
