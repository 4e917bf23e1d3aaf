"""Paired statistics of one form of a task: intervals and tests. Units are resampled, and draws of random head sets.

A unit is what can be taken for independent: an item, and where several items ask about one article, the article.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from retrieval_heads.head_scores.intervals import bootstrap_weights, stream
from retrieval_heads.head_scores.intervals import interval as stretched
from retrieval_heads.masking_analysis.needle_tests import flip_tests, least
from retrieval_heads.rounding import settled

SET = ["kind", "k"]
# So many that p values can stay small after Holm's correction over a table.
DRAWS = 10_000


class Paired:
    """Scores [items, head sets] of one form of a task, and bootstrap weights that all its rows share."""

    def __init__(self, verdicts: pd.DataFrame, seed: int = 0) -> None:
        """verdicts: item kind k head_set score, and `unit` where a unit has several items."""
        self.wide = {
            key: part.pivot(index="item", columns="head_set", values="score").sort_index()
            for key, part in verdicts.groupby(SET, sort=False)
        }
        self.plain = next(wide for (kind, _), wide in self.wide.items() if kind == "none").iloc[:, 0]
        unit = "unit" if "unit" in verdicts else "item"
        self.of_item = verdicts.drop_duplicates("item").set_index("item", drop=False)[unit].loc[self.plain.index]
        self.units = self.of_item.nunique()
        self.seed = seed
        # The same items and the same seed give the same weights, so that two forms of a task stay paired.
        self.items = bootstrap_weights(self.of_item, DRAWS, stream(seed, "items"))
        self.plain_resampled = self.items @ self.plain.to_numpy()

    def resampled(self, key: tuple[str, int]) -> np.ndarray:
        """Bootstrap means [DRAWS] of a kind and size of head set."""
        scores = self.wide[key].to_numpy()
        size = scores.shape[1]
        # Two forms have the same draws of head sets, which stay paired too.
        generator = np.random.default_rng(stream(self.seed, "head sets", *key))
        sets = generator.multinomial(size, np.full(size, 1 / size), size=DRAWS) / size
        return (self.items @ scores * sets).sum(1)

    def mean(self, key: tuple[str, int]) -> float:
        """Mean score of a kind and size of head set, over items and draws."""
        return float(self.wide[key].to_numpy().mean())

    def draws(self, key: tuple[str, int]) -> int:
        """How many head sets there are of a kind and size."""
        return self.wide[key].shape[1]

    def p(self, key: tuple[str, int]) -> tuple[str, float, float]:
        """Name and two-sided p of the test against the unmasked run, and the smallest p that it can give.

        One head set: exact McNemar test on the items that changed, where scores are 0 or 1 and every item is a unit,
        else a test that flips the signs of units (`needle_tests`). Several draws: paired bootstrap, 2 min(share of
        means above, below no difference), never below what so many draws or units could give if all of them agreed.
        """
        wide = self.wide[key]
        if wide.shape[1] > 1:
            smallest = max(self.least(), 2 / 2 ** wide.shape[1])
            return "paired bootstrap", max(bootstrap_p(self.resampled(key) - self.plain_resampled), smallest), smallest
        binary = set(np.unique(wide)) | set(np.unique(self.plain)) <= {0.0, 1.0}
        if binary and self.units == len(self.plain):
            # Its smallest p is that of all items changing one way, however many they are.
            return "McNemar", mcnemar(self.plain > 0.5, wide.iloc[:, 0] > 0.5), 2 / 2 ** min(self.units, 1000)
        change = (wide.iloc[:, 0] - self.plain).groupby(self.of_item).sum()
        p, _ = flip_tests(change.to_numpy()[:, None], stream(self.seed, "p"))
        return "sign flips", float(p[0]), least(self.units)

    def least(self) -> float:
        """The smallest p that a bootstrap over these units can mean anything by."""
        return max(least(self.units), 2 / (DRAWS + 1))

    def interval(self, estimate: float, means: np.ndarray, bounds: tuple[float, float]) -> tuple[float, float]:
        """95 % interval of bootstrap means, in percent; see `intervals.interval`. bounds: of a mean, in percent."""
        low, high = stretched(100 * estimate, 100 * means, self.units, bounds)
        return float(low), float(high)


def mcnemar(before: pd.Series, after: pd.Series) -> float:
    """Two-sided exact test on the items that changed (1 where none did)."""
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    return binomtest(lost, lost + won).pvalue if lost + won else 1.0


def bootstrap_p(difference: np.ndarray) -> float:
    """Two-sided p of no difference; never below 1 / (draws + 1), which is all that so many draws can tell."""
    difference = settled(difference)
    below, above = (1 + (difference <= 0).sum(), 1 + (difference >= 0).sum())
    return min(1.0, 2 * min(below, above) / (1 + len(difference)))
