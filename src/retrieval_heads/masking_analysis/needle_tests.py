"""Tests that take the cells of one needle for what they are: not independent.

Cells of one needle succeed and fail together, so a test that counts cells (McNemar, Wilcoxon) finds differences in
noise. Here the unit is the needle. If masking changes nothing, the two conditions of a needle can be exchanged, all of
its cells at once: a permutation test that flips the signs of needles. It is exact for any dependence between the cells
of a needle, for any number of cells, and where every cell passes. A mixed model (statsmodels) must estimate the
variance of needles from a handful of them and does not converge where a condition passes everywhere.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from retrieval_heads.head_scores.intervals import LEVEL
from retrieval_heads.rounding import settled

# All 2^n flips up to so many units, as many random ones beyond.
ENUMERATED, RANDOM_FLIPS = 12, 9_999


def sums(differences: pd.Series | pd.DataFrame) -> pd.DataFrame:
    """Units x rows: the sum over the cells of each unit (index level `needle`), so that every cell counts once."""
    return pd.DataFrame(differences).groupby(level="needle", sort=True).sum()


def least(units: int) -> float:
    """The smallest two-sided p that flipping the signs of so many units can give."""
    return 2 / 2**units if units <= ENUMERATED else 1 / (1 + RANDOM_FLIPS)


def flip_tests(differences: np.ndarray, seed: int | np.random.SeedSequence = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided p of no difference [rows], and the same corrected for the number of rows.

    differences: [units, rows], what a unit (a needle, an item) gained or lost in each row. Each row is divided by the
    root of its sum of squares, which flips leave alone. Corrected: step-down maximum over the rows (Westfall and Young
    1993), which, unlike Holm's, does not multiply the smallest p that few needles can give by the number of rows.
    """
    differences = settled(np.asarray(differences, float))
    scale = np.sqrt((differences**2).sum(0))
    scaled = differences / np.where(scale == 0, 1, scale)
    found = settled(np.abs(scaled.sum(0)))
    flipped = settled(np.abs(_signs(len(differences), seed) @ scaled))
    # Random flips are a sample: the data themselves count as one more.
    extra = 0 if len(differences) <= ENUMERATED else 1
    share = ((flipped >= found).sum(0) + extra) / (len(flipped) + extra)
    order = np.argsort(-found, kind="stable")
    highest = np.maximum.accumulate(flipped[:, order[::-1]], axis=1)[:, ::-1]
    steps = ((highest >= found[order]).sum(0) + extra) / (len(flipped) + extra)
    corrected = np.empty(len(found))
    corrected[order] = np.maximum.accumulate(steps)
    return share, corrected


def reachable(p: float, smallest: float) -> float:
    """p, and NaN where even the smallest p that can be reached is above 0.05: then p says nothing about an effect."""
    return float("nan") if settled(smallest) > LEVEL else p


def holm(p: pd.Series, smallest: pd.Series) -> pd.Series:
    """Holm's correction over the p that exist; NaN where the smallest p, times their number, is above 0.05."""
    corrected = pd.Series(np.nan, index=p.index, dtype=float)
    tested = p.notna()
    if tested.any():
        corrected[tested] = multipletests(p[tested].astype(float), method="holm")[1]
    return corrected.where(settled(smallest.astype(float) * tested.sum()) <= LEVEL)


def _signs(units: int, seed: int | np.random.SeedSequence) -> np.ndarray:
    if units <= ENUMERATED:
        return np.array(list(product((1.0, -1.0), repeat=units)))
    return np.random.default_rng(seed).choice((1.0, -1.0), size=(RANDOM_FLIPS, units))
