"""Long tables over the head scores of all models, each for a figure that needs more than the rankings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from retrieval_heads.analysis.agreement import COLUMNS, agreement
from retrieval_heads.analysis.reliability import needle_agreement, split_half
from retrieval_heads.head_scores.ranking import NO_HEAD, any_score
from retrieval_heads.head_scores.scores import HeadScores
from retrieval_heads.text_tables import over_models

# The bins of Figure 3 of Wu et al. 2024 (https://arxiv.org/abs/2404.15574).
BINS = {"0": (-np.inf, 0), "0 to 0.1": (0, 0.1), "0.1 to 0.5": (0.1, 0.5), "above 0.5": (0.5, np.inf)}


def per_model(head_scores: Mapping[str, HeadScores], tabulate: Callable[[HeadScores], pd.DataFrame]) -> pd.DataFrame:
    """One table of what `tabulate` gives for every model with scores of single cells (files of means have none)."""
    tables = {model: tabulate(found) for model, found in head_scores.items() if not found.averaged}
    return over_models(tables) if tables else pd.DataFrame(columns=["model"])


def score_bins(rankings: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """model bin heads share: how many heads of each model score in each bin, and percent of its heads."""
    rows = []
    for model, ranking in rankings.items():
        for name, (low, high) in BINS.items():
            heads = int(((ranking["score"] > low) & (ranking["score"] <= high)).sum())
            rows.append({"model": model, "bin": name, "heads": heads, "share": 100 * heads / len(ranking)})
    return pd.DataFrame(rows)


def model_table(
    head_scores: Mapping[str, HeadScores], rankings: Mapping[str, pd.DataFrame], threshold: float
) -> pd.DataFrame:
    """model layers heads retrieval_heads share best cells empty_cells needles always_active and the columns of
    `reliability.split_half`, one row a model.

    heads: of the whole model. empty_cells: successful cells in which every head scored 0. share: percent of heads above
    the threshold. always_active: heads that score above 0 in every cell. best: the five highest,
    "layer-head", or `NO_HEAD` where none scores above 0. A file
    of means has no cells: its columns that need them are empty.
    """
    rows = []
    for model, found in head_scores.items():
        ranking = rankings[model]
        retrieval = int((ranking["score"] > threshold).sum())
        row = {"model": model, "layers": found.scores.shape[1], "heads": len(ranking)}
        if not found.averaged:
            row |= {"cells": len(found.scores), "empty_cells": found.empty_cells, "needles": ranking["needles"].iloc[0]}
            row["always_active"] = int((ranking["activation_frequency"] == 1).sum())
            row |= split_half(found.flat, found.needles)
        row |= {"retrieval_heads": retrieval, "share": 100 * retrieval / len(ranking)}
        best = " ".join(f"{head.layer}-{head.head}" for head in ranking.head(5).itertuples())
        row["best"] = best if any_score(ranking["score"]) else NO_HEAD
        rows.append(row)
    first = ["model", "layers", "heads", "retrieval_heads", "share", "best"]
    table = pd.DataFrame(rows)
    return table[first + [column for column in table if column not in first]]


def model_agreement(head_scores: Mapping[str, HeadScores], k: int, threshold: float) -> pd.DataFrame:
    """model_a model_b and the columns of `agreement.agreement`, one row a pair of models, and one a model with itself.

    A model with itself: the mean over all pairs of its needles, so that what two models share can be read against what
    two needles share. Empty where two models have not the same number of heads in the same layers, or where a model's
    cells are of one needle, or not known to be of several.
    """
    rows = []
    for model, found in head_scores.items():
        pairs = needle_agreement(found.flat, found.needles, k, threshold)
        rows.append({"model_a": model, "model_b": model, **pairs.mean(numeric_only=True)})
    for first, second in combinations(head_scores, 2):
        a, b = head_scores[first], head_scores[second]
        alike = a.index[["layer", "head"]].equals(b.index[["layer", "head"]])
        found = agreement(a.flat.mean(0), b.flat.mean(0), k, threshold) if alike else {}
        rows.append({"model_a": first, "model_b": second, **found})
    return pd.DataFrame(rows, columns=["model_a", "model_b", *COLUMNS])
