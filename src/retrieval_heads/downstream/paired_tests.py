"""Paired statistics of one form of a task: intervals and tests. Items are resampled, and draws of random head sets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from retrieval_heads.masking_analysis.success_curves import mcnemar
from retrieval_heads.rounding import settled

SET = ["kind", "k"]
# So many that p values can stay small after Holm's correction over a table.
DRAWS = 10_000


class Paired:
    """Scores [items, head sets] of one form of a task, and bootstrap weights that all its rows share."""

    def __init__(self, verdicts: pd.DataFrame, seed: int = 0) -> None:
        self.wide = {
            key: part.pivot(index="item", columns="head_set", values="score").sort_index()
            for key, part in verdicts.groupby(SET, sort=False)
        }
        self.plain = next(wide for (kind, _), wide in self.wide.items() if kind == "none").iloc[:, 0]
        self.seed = seed
        # The same items and the same seed give the same weights, so that two forms of a task stay paired.
        self.items = _weights(len(self.plain), seed)
        self.plain_resampled = self.items @ self.plain.to_numpy()

    def resampled(self, key: tuple[str, int]) -> np.ndarray:
        """Bootstrap means [DRAWS] of a kind and size of head set."""
        scores = self.wide[key].to_numpy()
        return (self.items @ scores * _weights(scores.shape[1], self.seed + 1)).sum(1)

    def mean(self, key: tuple[str, int]) -> float:
        """Mean score of a kind and size of head set, over items and draws."""
        return float(self.wide[key].to_numpy().mean())

    def p(self, key: tuple[str, int]) -> tuple[str, float]:
        """Name and two-sided p of the test against the unmasked run.

        Scores of 0 or 1 and one head set: exact McNemar test on the items that changed. Otherwise, and where several
        draws stand for one size: paired bootstrap, 2 min(share of means above, below no difference).
        """
        wide = self.wide[key]
        binary = set(np.unique(wide)) | set(np.unique(self.plain)) <= {0.0, 1.0}
        if binary and wide.shape[1] == 1:
            return "McNemar", mcnemar(self.plain > 0.5, wide.iloc[:, 0] > 0.5)
        return "paired bootstrap", bootstrap_p(self.resampled(key) - self.plain_resampled)


def _weights(units: int, seed: int) -> np.ndarray:
    """How often each of `units` is drawn in each bootstrap sample, as shares: [DRAWS, units]."""
    return np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=DRAWS) / units


def bootstrap_p(difference: np.ndarray) -> float:
    """Two-sided p of no difference; never below 1 / (draws + 1), which is all that so many draws can tell."""
    difference = settled(difference)
    below, above = (1 + (difference <= 0).sum(), 1 + (difference >= 0).sum())
    return min(1.0, 2 * min(below, above) / (1 + len(difference)))


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of bootstrap means, in percent."""
    low, high = settled(100 * np.percentile(values, (2.5, 97.5)))
    return float(low), float(high)
