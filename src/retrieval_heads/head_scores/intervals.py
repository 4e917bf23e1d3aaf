"""Intervals that resample needles and cells, and say on how many needles they rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from retrieval_heads.rounding import settled

LEVEL = 0.05
# The needle of a cell of which it is not known.
UNKNOWN = "unknown"


def stream(seed: int, *names: str | int) -> np.random.SeedSequence:
    """A stream of random numbers of its own for each factor and row (`names`), whatever the order of the rows."""
    key = tuple(byte for name in names for byte in (*str(name).encode(), 0))
    return np.random.SeedSequence(seed, spawn_key=key)


def count_needles(needles: pd.Series) -> int:
    """Of how many needles cells are known to be."""
    return int(needles[needles != UNKNOWN].nunique())


def bootstrap_weights(needles: pd.Series, draws: int, seed: int | np.random.SeedSequence) -> np.ndarray:
    """Weights [draws, cells] of a bootstrap that resamples needles, then cells within each; rows add up to 1.

    The needle is the largest source of variance, so cells of one needle are not independent. With a single needle only
    its cells are resampled, and the interval says nothing about other needles. Single cells of an unknown needle are
    resampled with those before them.
    """
    generator = np.random.default_rng(seed)
    needles = needles.where(needles != UNKNOWN).ffill().bfill().fillna(UNKNOWN)
    members = [np.flatnonzero(needles.to_numpy() == name) for name in needles.unique()]
    chosen = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    if len(members) == len(needles):
        return chosen / len(members)
    weights = np.zeros((draws, len(needles)))
    for times, cells in zip(chosen.T, members, strict=True):
        weights[:, cells] = generator.multinomial(times * len(cells), np.full(len(cells), 1 / len(cells)))
    return weights / weights.sum(1, keepdims=True)


def stretch(needles: int) -> float:
    """By how much the half widths of a percentile bootstrap over so many needles are too narrow.

    sqrt(n / (n - 1)) t(n - 1) / z: a bootstrap takes the variance of n values with n for n - 1, and the normal for the
    t distribution (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 4). 2.7 with three
    needles, 1.2 with ten; 1 with a single one, of which only cells are resampled.
    """
    if needles < 2:
        return 1.0
    half = LEVEL / 2
    return float((needles / (needles - 1)) ** 0.5 * t.ppf(1 - half, needles - 1) / norm.ppf(1 - half))


def interval(
    estimate: np.ndarray | float, resampled: np.ndarray, needles: int, bounds: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of a 95 % interval: the percentile bootstrap, its two sides stretched to the number of needles.

    estimate: the mean itself, a number or [values]. resampled: means of the resamples, [draws] or [draws, values].
    bounds: what a mean can be at all. Where no cell differs from another, the interval is a point: it knows nothing of
    what has not been seen.
    """
    low, high = np.percentile(resampled, (50 * LEVEL, 100 - 50 * LEVEL), axis=0)
    factor = stretch(needles)
    ends = (np.clip(estimate + factor * (end - estimate), *bounds) for end in (low, high))
    low, high = (settled(end) for end in ends)
    return low, high
