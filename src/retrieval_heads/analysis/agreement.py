"""How far two scores of the same heads agree, each number beside what chance would give.

Most heads score 0, so that a correlation over all of them is carried by a few: rank correlation over heads that both
score, and the overlap of the best heads, say more.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import hypergeom, pearsonr, spearmanr

from retrieval_heads.head_scores.ranking import any_score
from retrieval_heads.rounding import settled


def agreement(first: np.ndarray, second: np.ndarray, k: int, threshold: float) -> dict[str, float]:
    """Agreement of two mean scores [heads], in the same order of heads.

    heads: how many. pearson: over all. spearman, nonzero: rank correlation over the heads that are not 0 in either, and
    how many those are (independent scores give 0). k, overlap, overlap_chance, overlap_p: share of the top k heads in
    common, what two random sets share, and the one-sided hypergeometric p. jaccard, jaccard_chance: of the heads above
    the threshold, shared / in either set, and its exact mean over random sets of the same sizes. NaN where a number
    does not exist: a constant score, no head above the threshold, no score above 0 in either and so no top heads.
    """
    first, second = settled(first), settled(second)
    heads = len(first)
    k = min(k, heads)
    both = (first != 0) & (second != 0)
    shared = len(set(top(first, k)) & set(top(second, k))) if any_score(first) and any_score(second) else np.nan
    above, above_too = first > threshold, second > threshold
    either = int((above | above_too).sum())
    return {
        "heads": heads,
        "pearson": correlation(pearsonr, first, second),
        "spearman": correlation(spearmanr, first[both], second[both]),
        "nonzero": int(both.sum()),
        "k": k,
        "overlap": shared / k,
        "overlap_chance": k / heads,
        "overlap_p": float(hypergeom.sf(shared - 1, heads, k, k)) if shared == shared else np.nan,
        "jaccard": float((above & above_too).sum()) / either if either else np.nan,
        "jaccard_chance": jaccard_by_chance(heads, int(above.sum()), int(above_too.sum())),
    }


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


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """The k best heads; of equals, those that come first."""
    return np.argsort(-settled(scores), kind="stable")[:k]


def jaccard_by_chance(heads: int, first: int, second: int) -> float:
    """Mean Jaccard index of two random sets of the given sizes out of `heads` (hypergeometric); NaN for empty sets."""
    if first + second == 0:
        return np.nan
    shared = np.arange(max(0, first + second - heads), min(first, second) + 1)
    return float(np.sum(hypergeom.pmf(shared, heads, first, second) * shared / (first + second - shared)))


def correlation(measure, first: np.ndarray, second: np.ndarray) -> float:
    """A measure of scipy.stats; NaN with fewer than three heads, or where a score is the same for all."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return float(measure(first, second).statistic)


# Of a table of agreements, also of one in which nothing could be compared.
COLUMNS = tuple(agreement(np.zeros(2), np.zeros(2), 1, 0.0))
