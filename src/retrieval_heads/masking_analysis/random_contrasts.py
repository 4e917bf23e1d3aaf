"""Retrieval heads masked against as many random heads: is what they cost more than what any heads cost?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from retrieval_heads.head_scores.intervals import bootstrap_weights, interval, stream
from retrieval_heads.masking_analysis.needle_tests import flip_tests, holm, least, reachable, sums
from retrieval_heads.masking_analysis.success_curves import wide
from retrieval_heads.rounding import settled

COLUMNS = ["k", "top", "random", "random_low", "random_high", "draws", "draws_as_low", "cells", "needles"]
COLUMNS += ["difference", "ci_low", "ci_high", "p_draws", "p_draws_corrected", "p_draws_least"]
COLUMNS += ["p_needles", "p_needles_corrected", "p_needles_least"]


def masked_contrast(runs: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """`COLUMNS`, one row for each size that was masked both ways.

    runs: head_set kind k needle length depth passed. top, random: success in percent of cells, random over all draws;
    random_low, random_high: the middle 95 % of the draws. difference: top - random in percentage points, with its
    95 % interval (percentile bootstrap over needles, then cells, and over draws, paired by cell, stretched to the
    number of needles). draws_as_low, p_draws: random draws whose success is as low as that of the top heads or lower,
    and (1 + that) / (1 + draws): one-sided, for these needles. p_needles: two-sided, flips the signs of needles
    (`needle_tests`), success with top heads masked less the share of draws that passed: for these draws. Each p sees
    one source of chance; believe the larger. Corrected over the sizes: p_draws by Holm, p_needles by the step-down
    maximum. _least: the smallest p that so many draws or needles can give; where it is above 0.05 (for
    p_draws_corrected times the sizes), p is missing.
    """
    rows, changes = [], {}
    for k in runs.loc[runs["kind"] == "top", "k"].unique():
        both = [runs[(runs["kind"] == kind) & (runs["k"] == k)] for kind in ("top", "random")]
        if any(part.empty for part in both):
            continue
        top, random = (wide(part) for part in both)
        random = random.loc[top.index]
        rows.append({"k": k, **_contrast(top.iloc[:, 0], random, draws, seed, k)})
        changes[k] = sums(top.iloc[:, 0] - random.mean(axis=1)).iloc[:, 0]
    table = pd.DataFrame(rows, columns=COLUMNS)
    if rows:
        table["p_draws_corrected"] = holm(table["p_draws"], table["p_draws_least"])
        found = flip_tests(pd.DataFrame(changes).fillna(0.0).to_numpy(), stream(seed, "p"))
        for column, values in zip(("p_needles", "p_needles_corrected"), found, strict=True):
            table[column] = [reachable(p, few) for p, few in zip(values, table["p_needles_least"], strict=True)]
    return table


def _contrast(top: pd.Series, random: pd.DataFrame, draws: int, seed: int, k: int) -> dict:
    """One row without what all rows decide. top: [cells], 1.0 where passed; random: [cells, draws]."""
    drawn = 100 * random.mean()
    as_low, size = int((settled(drawn) <= settled(100 * top.mean())).sum()), random.shape[1]
    needles = top.index.get_level_values("needle").nunique()
    low, high = _interval(top, random, draws, seed, k)
    return {
        "top": 100 * top.mean(),
        "random": drawn.mean(),
        **dict(zip(("random_low", "random_high"), np.percentile(drawn, (2.5, 97.5)), strict=True)),
        "draws": size,
        "draws_as_low": as_low,
        "cells": len(top),
        "needles": needles,
        "difference": settled(100 * top.mean() - drawn.mean()),
        "ci_low": low,
        "ci_high": high,
        "p_draws": reachable((1 + as_low) / (1 + size), 1 / (1 + size)),
        "p_draws_least": 1 / (1 + size),
        "p_needles_least": least(needles),
    }


def _interval(top: pd.Series, random: pd.DataFrame, draws: int, seed: int, k: int) -> tuple[float, float]:
    needles = top.index.get_level_values("needle").to_series()
    cells = bootstrap_weights(needles, draws, stream(seed, "cells", k))
    size = random.shape[1]
    generator = np.random.default_rng(stream(seed, "head sets", k))
    sets = generator.multinomial(size, [1 / size] * size, size=draws) / size
    means = cells @ top.to_numpy() - np.einsum("dc,cs,ds->d", cells, random.to_numpy(), sets)
    estimate = top.mean() - random.to_numpy().mean()
    low, high = interval(100 * estimate, 100 * means, needles.nunique(), (-100, 100))
    return float(low), float(high)
