"""Success against the number of masked heads, with intervals and tests against the unmasked run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from retrieval_heads.head_scores.intervals import bootstrap_weights, interval, stream
from retrieval_heads.masking_analysis.needle_tests import flip_tests, least, reachable, sums

CELL = ["needle", "length", "depth"]


def masked_curve(runs: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """kind k success ci_low ci_high draws cells needles difference p p_corrected p_least, one row for each kind and
    size of head set.

    runs: head_set kind k seed needle length depth passed; the head set `unmasked` is the unmasked run. success: percent
    of cells. Intervals: 95 %, percentile bootstrap over needles, then cells, and for random sets over the draws as
    well, stretched to the number of needles (`intervals.interval`). needles: on how many the row rests. difference:
    from unmasked, in percentage points. p: two-sided test against the unmasked run that flips the signs of needles
    (`needle_tests`; for random sets of the mean of their draws, which are taken as they are); p_corrected: over the
    rows of the table. p_least: the smallest p that so many needles can give; where it is above 0.05, p is missing.
    """
    plain = wide(runs[runs["kind"] == "none"])["unmasked"]
    rows, changes = [], {}
    for (kind, k), part in runs.groupby(["kind", "k"], sort=False):
        passed = wide(part).loc[plain.index]
        low, high = _interval(passed, draws, seed, (kind, k))
        rows.append(
            {
                "kind": kind,
                "k": k,
                "success": 100 * passed.to_numpy().mean(),
                "ci_low": low,
                "ci_high": high,
                "draws": passed.shape[1],
                "cells": len(passed),
                "needles": passed.index.get_level_values("needle").nunique(),
                "difference": 100 * (passed.to_numpy().mean() - plain.to_numpy().mean()),
            }
        )
        if kind != "none":
            changes[len(rows) - 1] = passed.mean(axis=1) - plain
    table = pd.DataFrame(rows).assign(p=np.nan, p_corrected=np.nan, p_least=np.nan)
    if changes:
        tested, units = list(changes), sums(pd.DataFrame(changes))
        smallest = least(len(units))
        for column, values in zip(("p", "p_corrected"), flip_tests(units.to_numpy(), stream(seed, "p")), strict=True):
            table.loc[tested, column] = [reachable(p, smallest) for p in values]
        table.loc[tested, "p_least"] = smallest
    return table


def wide(runs: pd.DataFrame) -> pd.DataFrame:
    """Cells x head sets, 1.0 where passed."""
    return runs.astype({"passed": float}).pivot(index=CELL, columns="head_set", values="passed")


def _interval(passed: pd.DataFrame, draws: int, seed: int, row: tuple[str, int]) -> tuple[float, float]:
    """Ends in percent. Every row, and in it cells and draws of head sets, has random numbers of its own."""
    needles = passed.index.get_level_values("needle").to_series()
    cells = bootstrap_weights(needles, draws, stream(seed, "cells", *row))
    size = passed.shape[1]
    generator = np.random.default_rng(stream(seed, "head sets", *row))
    sets = generator.multinomial(size, [1 / size] * size, size=draws) / size
    means = np.einsum("dc,cs,ds->d", cells, passed.to_numpy(), sets)
    low, high = interval(100 * passed.to_numpy().mean(), 100 * means, needles.nunique(), (0, 100))
    return float(low), float(high)
