"""Success against the number of masked heads, with intervals and tests against the unmasked run."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from retrieval_heads.head_scores.scores import bootstrap_weights
from retrieval_heads.rounding import settled

CELL = ["needle", "length", "depth"]


def masked_curve(runs: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """kind k success ci_low ci_high draws cells difference p p_corrected, one row for each kind and size of head set.

    runs: head_set kind k seed needle length depth passed. success: percent of cells. Intervals: 95 %, percentile
    bootstrap over needles, then cells, and for random sets over the draws as well. difference: from unmasked, in
    percentage points. p: exact McNemar test against the unmasked run, paired per cell (for random sets a cell
    counts by the majority of its draws); p_corrected: Holm over the rows of the table.
    """
    plain = wide(runs[runs["kind"] == "none"])
    rows = []
    for (kind, k), part in runs.groupby(["kind", "k"], sort=False):
        passed = wide(part).loc[plain.index]
        low, high = _interval(passed, draws, seed)
        rows.append(
            {
                "kind": kind,
                "k": k,
                "success": 100 * passed.to_numpy().mean(),
                "ci_low": low,
                "ci_high": high,
                "draws": passed.shape[1],
                "cells": len(passed),
                "difference": 100 * (passed.to_numpy().mean() - plain.to_numpy().mean()),
                "p": mcnemar(plain.iloc[:, 0] > 0.5, settled(passed.mean(axis=1)) > 0.5) if kind != "none" else np.nan,
            }
        )
    table = pd.DataFrame(rows)
    tested = table["p"].notna()
    table.loc[tested, "p_corrected"] = multipletests(table.loc[tested, "p"], method="holm")[1]
    return table


def wide(runs: pd.DataFrame) -> pd.DataFrame:
    """Cells x head sets, 1.0 where passed."""
    return runs.astype({"passed": float}).pivot(index=CELL, columns="head_set", values="passed")


def _interval(passed: pd.DataFrame, draws: int, seed: int) -> tuple[float, float]:
    cells = bootstrap_weights(passed.index.get_level_values("needle").to_series(), draws, seed)
    sets = np.random.default_rng(seed).multinomial(passed.shape[1], [1 / passed.shape[1]] * passed.shape[1], size=draws)
    means = np.einsum("dc,cs,ds->d", cells, passed.to_numpy(), sets / passed.shape[1])
    low, high = settled(np.percentile(100 * means, (2.5, 97.5)))
    return float(low), float(high)


def mcnemar(before: pd.Series, after: pd.Series) -> float:
    """Two-sided exact test on the cells that changed (1 where none did)."""
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    return binomtest(lost, lost + won).pvalue if lost + won else 1.0
