"""The ranking of a model's heads by mean score, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from retrieval_heads.head_scores.scores import HeadScores, bootstrap_weights
from retrieval_heads.rounding import settled


def rank_heads(head_scores: HeadScores, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Heads by mean score: rank layer head kv_group score ci_low ci_high activation_frequency activation_low
    activation_high cells needles resampled.

    activation_frequency: share of cells with a score above 0 (Wu et al. 2024, Figure 4). Intervals: 95 %, percentile
    bootstrap over what `resampled` says; missing, like the frequency, where a file holds means only. needles: how many
    the cells are known to come from, 0 where that is not known.
    """
    heads, cells = head_scores.index.copy(), head_scores.flat
    heads["score"] = settled(cells.mean(0))
    known = ["ci_low", "ci_high", "activation_frequency", "activation_low", "activation_high"]
    heads[known] = np.nan
    if not head_scores.averaged:
        weights = bootstrap_weights(head_scores.needles, draws, seed)
        heads["ci_low"], heads["ci_high"] = np.percentile(weights @ cells, (2.5, 97.5), axis=0)
        heads["activation_frequency"] = (cells > 0).mean(0)
        heads["activation_low"], heads["activation_high"] = np.percentile(weights @ (cells > 0), (2.5, 97.5), axis=0)
    heads["cells"] = pd.NA if head_scores.averaged else len(cells)
    heads["needles"] = 0 if head_scores.cells is None else head_scores.needles.nunique()
    heads["resampled"] = head_scores.resampled
    heads = heads.sort_values(["score", "layer", "head"], ascending=[False, True, True], ignore_index=True)
    heads.insert(0, "rank", np.arange(1, len(heads) + 1))
    return heads
