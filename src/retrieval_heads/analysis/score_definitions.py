"""Do the six definitions of a retrieval score rank the heads alike?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pandas as pd
from scipy.stats import spearmanr

from retrieval_heads.analysis.agreement import agreement, correlation
from retrieval_heads.rounding import settled


def definition_agreement(table: pd.DataFrame, scores: Sequence[str], k: int) -> pd.DataFrame:
    """score_a score_b heads rank_correlation k overlap overlap_chance overlap_p, one row a pair of scores.

    table: layer, head and the scores, one row a head and cell. rank_correlation: Spearman over the mean scores of all
    heads. overlap: share of the top k heads that both name, beside what two random sets share and its p.
    """
    means = settled(table.groupby(["layer", "head"])[list(scores)].mean())
    rows = []
    for first, second in combinations(scores, 2):
        a, b = means[first].to_numpy(), means[second].to_numpy()
        found = agreement(a, b, k, threshold=0)
        kept = {key: found[key] for key in ("k", "overlap", "overlap_chance", "overlap_p")}
        rank_correlation = correlation(spearmanr, a, b)
        row = {"score_a": first, "score_b": second, "heads": len(means), "rank_correlation": rank_correlation}
        rows.append(row | kept)
    return pd.DataFrame(rows)
