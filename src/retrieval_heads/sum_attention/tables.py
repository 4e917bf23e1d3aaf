"""What the validation of general retrieval heads shows: accuracy by depth, by task, and with the lowest heads masked.

Accuracy: percent of the cells whose response holds the whole answer. Intervals: 95 %, percentile bootstrap over facts
(a task of a record), then cells, and for random sets over the draws as well, stretched to the number of facts. p, its
correction over the rows and p_least: a test that flips the signs of facts (`masking_analysis.needle_tests`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from retrieval_heads.masking_analysis.success_curves import masked_curve
from retrieval_heads.rounding import settled

SPREAD = ["accuracy", "ci_low", "ci_high", "draws", "cells", "facts"]
TESTED = [*SPREAD, "difference", "p", "p_corrected", "p_least"]
# Depths of documents fall where they will: they are shown by fifths, each under its middle.
FIFTH = 20
SIGNIFICANT = 0.05


def curve(runs: pd.DataFrame) -> pd.DataFrame:
    """kind k and `TESTED`: `success_curves.masked_curve` under the names of this study."""
    return masked_curve(runs).rename(columns={"success": "accuracy", "needles": "facts"})[["kind", "k", *TESTED]]


def by_task(runs: pd.DataFrame) -> pd.DataFrame:
    """task kind k and `TESTED`: not masked, general heads masked and random others, in each task and in all.

    runs: of one model and placement, with `task`. p: against the unmasked run; p_corrected: over the rows of a task.
    """
    compared = runs[runs["kind"] != "bottom"]
    parts = [("all", compared), *compared.groupby("task", sort=False)]
    return pd.concat([curve(part).assign(task=task) for task, part in parts])[["task", "kind", "k", *TESTED]]


def by_depth(runs: pd.DataFrame, natural: bool) -> pd.DataFrame:
    """depth kind k and `SPREAD`, over all tasks; depths (percent) in fifths where they are those of documents."""
    compared = runs[runs["kind"] != "bottom"]
    shown = compared["depth"].map(fifth) if natural else compared["depth"]
    parts = [curve(part).assign(depth=depth) for depth, part in compared.groupby(shown)]
    return pd.concat(parts)[["depth", "kind", "k", *SPREAD]]


def fifth(depth: int) -> int:
    """The middle of the fifth of the context that a depth falls into, in percent."""
    return min(depth // FIFTH, 100 // FIFTH - 1) * FIFTH + FIFTH // 2


def by_lowest(runs: pd.DataFrame, heads: int) -> pd.DataFrame:
    """k share `TESTED` falls: accuracy with the k lowest heads masked, from none on; share: percent of all `heads`.

    falls: accuracy is below the unmasked run, p_corrected (over the sizes) below 0.05. The first row where it is
    true is where accuracy starts to fall.
    """
    table = curve(runs[runs["kind"].isin(["none", "bottom"])]).sort_values("k", ignore_index=True)
    table["falls"] = (settled(table["difference"]) < 0) & (table["p_corrected"] < SIGNIFICANT)
    table.insert(2, "share", 100 * table["k"] / heads)
    return table.drop(columns=["kind", "draws"])


def summary(heads: pd.DataFrame, tasks: int, k: int) -> dict[str, float]:
    """heads tasks top general expected lowest_general: how many heads are general, beside what chance would give.

    heads: of `sum_attention.combine`. top: K. expected: general heads if every task drew its top K at random.
    """
    count = len(heads)
    return {
        "heads": count,
        "tasks": tasks,
        "top": k,
        "general": int(heads["general"].sum()),
        "expected": count * (k / count) ** tasks,
        "lowest_general": heads.loc[heads["general"], "mean_score"].min() if heads["general"].any() else np.nan,
    }
