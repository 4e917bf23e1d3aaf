"""The ranking of a model's heads by mean score, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from retrieval_heads.head_scores.intervals import bootstrap_weights, count_needles, interval
from retrieval_heads.head_scores.scores import HeadScores
from retrieval_heads.rounding import settled

# What a table says of a model without top heads.
NO_HEAD = "no retrieval head was found"


def rank_heads(head_scores: HeadScores, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Heads by mean score: rank layer head kv_group score ci_low ci_high activation_frequency activation_low
    activation_high cells empty_cells needles resampled.

    activation_frequency: share of cells with a score above 0 (Wu et al. 2024, Figure 4), of the cells in which any head
    has one: the others, `empty_cells`, say nothing about single heads. Intervals: 95 %, percentile bootstrap over what
    `resampled` says, stretched to the number of needles (`intervals.interval`); missing, like the frequency, where a
    file holds means only. needles: how many the cells are known to come from, 0 where that is not known. rank: missing
    where no head of the model scores above 0, as the first of equals would be no top head.
    """
    heads, cells = head_scores.index.copy(), head_scores.flat
    heads["score"] = settled(cells.mean(0))
    known = ["ci_low", "ci_high", "activation_frequency", "activation_low", "activation_high"]
    heads[known] = np.nan
    if not head_scores.averaged:
        bounds = (min(0.0, cells.min()), max(1.0, cells.max()))
        heads["ci_low"], heads["ci_high"] = _interval(cells, head_scores.needles, bounds, draws, seed)
        active = (cells > 0)[~head_scores.empty]
        if len(active):
            heads["activation_frequency"] = active.mean(0)
            ends = _interval(active, head_scores.needles[~head_scores.empty], (0, 1), draws, seed)
            heads["activation_low"], heads["activation_high"] = ends
    heads["cells"] = pd.NA if head_scores.averaged else len(cells)
    heads["empty_cells"] = pd.NA if head_scores.averaged else head_scores.empty_cells
    heads["needles"] = count_needles(head_scores.needles)
    heads["resampled"] = head_scores.resampled
    heads = heads.sort_values(["score", "layer", "head"], ascending=[False, True, True], ignore_index=True)
    heads.insert(0, "rank", np.arange(1, len(heads) + 1) if any_score(heads["score"]) else pd.NA)
    return heads


def any_score(scores: pd.Series | np.ndarray) -> bool:
    """Whether any mean score is above 0, so that there are top heads at all."""
    return bool((settled(scores) > 0).any())


def _interval(cells: np.ndarray, needles: pd.Series, bounds: tuple[float, float], draws: int, seed: int):
    """Ends for the mean of `cells` [cells, heads], each [heads]."""
    weights = bootstrap_weights(needles, draws, seed)
    return interval(cells.mean(0), weights @ cells, count_needles(needles), bounds)
