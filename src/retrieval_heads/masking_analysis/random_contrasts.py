"""Retrieval heads masked against as many random heads: is what they cost more than what any heads cost?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon
from statsmodels.stats.multitest import multipletests

from retrieval_heads.head_scores.scores import bootstrap_weights
from retrieval_heads.masking_analysis.success_curves import wide
from retrieval_heads.rounding import settled

COLUMNS = ["k", "top", "random", "random_low", "random_high", "draws", "draws_as_low", "cells"]
COLUMNS += ["difference", "ci_low", "ci_high", "p_draws", "p_draws_corrected", "p_cells", "p_cells_corrected"]


def masked_contrast(runs: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """`COLUMNS`, one row for each size that was masked both ways.

    runs: head_set kind k needle length depth passed. top, random: success in percent of cells, random over all draws;
    random_low, random_high: the middle 95 % of the draws. difference: top - random in percentage points, with its
    95 % interval (percentile bootstrap over needles, then cells, and over draws, paired by cell).
    draws_as_low, p_draws: random draws whose success is as low as that of the top heads or lower, and
    (1 + that) / (1 + draws): one-sided, and with few draws never small. p_cells: two-sided Wilcoxon signed-rank test
    over cells, passed with top heads masked against the share of draws that passed. Corrected: Holm over the sizes.
    """
    rows = []
    for k in runs.loc[runs["kind"] == "top", "k"].unique():
        both = [runs[(runs["kind"] == kind) & (runs["k"] == k)] for kind in ("top", "random")]
        if any(part.empty for part in both):
            continue
        top, random = (wide(part) for part in both)
        rows.append({"k": k, **_contrast(top.iloc[:, 0], random.loc[top.index], draws, seed)})
    table = pd.DataFrame(rows, columns=COLUMNS)
    for p in ("p_draws", "p_cells"):
        table[f"{p}_corrected"] = multipletests(table[p], method="holm")[1] if len(table) else None
    return table


def _contrast(top: pd.Series, random: pd.DataFrame, draws: int, seed: int) -> dict:
    """One row without its corrections. top: [cells], 1.0 where passed; random: [cells, draws]."""
    drawn = 100 * random.mean()
    as_low = int((settled(drawn) <= settled(100 * top.mean())).sum())
    low, high = _interval(top, random, draws, seed)
    return {
        "top": 100 * top.mean(),
        "random": drawn.mean(),
        **dict(zip(("random_low", "random_high"), np.percentile(drawn, (2.5, 97.5)), strict=True)),
        "draws": random.shape[1],
        "draws_as_low": as_low,
        "cells": len(top),
        "difference": settled(100 * top.mean() - drawn.mean()),
        "ci_low": low,
        "ci_high": high,
        "p_draws": (1 + as_low) / (1 + random.shape[1]),
        "p_cells": _signed_rank(top - random.mean(axis=1)),
    }


def _interval(top: pd.Series, random: pd.DataFrame, draws: int, seed: int) -> tuple[float, float]:
    cells = bootstrap_weights(top.index.get_level_values("needle").to_series(), draws, seed)
    size = random.shape[1]
    sets = np.random.default_rng(seed).multinomial(size, [1 / size] * size, size=draws) / size
    means = cells @ top.to_numpy() - np.einsum("dc,cs,ds->d", cells, random.to_numpy(), sets)
    low, high = settled(np.percentile(100 * means, (2.5, 97.5)))
    return float(low), float(high)


def _signed_rank(difference: pd.Series) -> float:
    """Two-sided p over the cells that differ (1 where none does)."""
    difference = settled(difference)
    changed = difference[difference != 0]
    return float(wilcoxon(changed).pvalue) if len(changed) else 1.0
