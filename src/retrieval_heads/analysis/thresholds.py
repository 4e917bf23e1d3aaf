"""How many heads count as retrieval heads, by the threshold that says so."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from retrieval_heads.head_scores.intervals import bootstrap_weights
from retrieval_heads.head_scores.scores import HeadScores
from retrieval_heads.rounding import settled

# Around the 0.1 of Wu et al. 2024 (https://arxiv.org/abs/2404.15574, section 2).
THRESHOLDS = tuple(round(0.05 + 0.025 * step, 3) for step in range(11))


def threshold_sweep(
    head_scores: HeadScores, thresholds: Iterable[float] = THRESHOLDS, *, draws: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """threshold heads share ci_low ci_high resampled: heads with a higher mean score, and percent of all heads.

    ci_low, ci_high: 95 % percentile bootstrap of the share over what `resampled` says, NaN for a file of means. The
    means of a resample scatter more than the mean itself, so that near a steep threshold the interval may lie to one
    side of the share.
    """
    means = settled(head_scores.flat.mean(0))
    drawn = None
    if not head_scores.averaged:
        drawn = settled(bootstrap_weights(head_scores.needles, draws, seed) @ head_scores.flat)
    rows = []
    for threshold in thresholds:
        heads = int((means > threshold).sum())
        low, high = (np.nan, np.nan)
        if drawn is not None:
            low, high = np.percentile(100 * (drawn > threshold).mean(1), (2.5, 97.5))
        row = {"threshold": threshold, "heads": heads, "share": 100 * heads / len(means)}
        rows.append(row | {"ci_low": low, "ci_high": high, "resampled": head_scores.resampled})
    return pd.DataFrame(rows)
