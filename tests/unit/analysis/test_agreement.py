"""Agreement of two scores of the same heads, each number by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retrieval_heads.analysis.agreement import COLUMNS, agreement, definition_agreement, jaccard_by_chance, top
from retrieval_heads.analysis.model_tables import model_agreement
from retrieval_heads.head_scores.scores import HeadScores

FIRST = np.array([0.9, 0.6, 0.3, 0.05, 0.0, 0.0])
SECOND = np.array([0.8, 0.2, 0.4, 0.0, 0.07, 0.0])


def test_agreement_by_hand():
    found = agreement(FIRST, SECOND, k=2, threshold=0.1)
    assert found["pearson"] == pytest.approx(np.corrcoef(FIRST, SECOND)[0, 1])
    # Three heads score in both; their ranks 1 2 3 and 1 3 2 differ by 0, 1, 1: 1 - 6 * 2 / (3 * 8).
    assert (found["nonzero"], found["spearman"]) == (3, pytest.approx(0.5))
    # Of the top two, {0, 1} and {0, 2}, one is shared; two random pairs of six share 2 * 2 / 6 / 2 of their heads.
    assert (found["overlap"], found["overlap_chance"]) == (0.5, pytest.approx(1 / 3))
    # At least one in common: 1 - (4 choose 2) / (6 choose 2).
    assert found["overlap_p"] == pytest.approx(1 - 6 / 15)
    assert found["jaccard"] == 1
    assert found["heads"] == 6


def test_jaccard_by_chance_by_hand():
    # Two sets of one head out of four share it with probability 1/4.
    assert jaccard_by_chance(4, 1, 1) == pytest.approx(1 / 4)
    # Two pairs out of three always share a head: three in nine times both (1), else one of three.
    assert jaccard_by_chance(3, 2, 2) == pytest.approx(1 / 3 * 1 + 2 / 3 / 3)
    assert np.isnan(jaccard_by_chance(4, 0, 0))


def test_of_equal_heads_the_first_is_on_top():
    assert top(np.array([0.5, 0.9, 0.5, 0.5]), 3).tolist() == [1, 0, 2]


def test_what_does_not_exist_is_missing():
    found = agreement(np.zeros(5), FIRST[:5], k=9, threshold=1)
    assert np.isnan([found[name] for name in ("pearson", "spearman", "jaccard", "jaccard_chance")]).all()
    assert (found["k"], found["overlap_chance"]) == (5, 1)
    assert np.isnan([found["overlap"], found["overlap_p"]]).all(), "where every head scores 0, none is a top head"


def needles(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"needle": names})


def test_models_are_compared_where_they_have_the_same_heads():
    one = HeadScores(np.stack([FIRST, SECOND]).reshape(2, 2, 3), needles(["a", "b"]))
    other = HeadScores(np.stack([SECOND, SECOND]).reshape(2, 2, 3), needles(["a", "a"]))
    wide = HeadScores(np.stack([FIRST, SECOND]).reshape(2, 1, 6), needles(["a", "b"]))
    table = model_agreement({"one": one, "other": other, "wide": wide}, 2, 0.1).set_index(["model_a", "model_b"])
    assert len(table) == 6
    # With itself: its two needles. Of one needle there is no pair.
    assert table.loc[("one", "one"), "overlap"] == 0.5
    assert table.loc[("other", "other")].isna().all()
    expected = np.corrcoef((FIRST + SECOND) / 2, SECOND)[0, 1]
    assert table.loc[("one", "other"), "pearson"] == pytest.approx(expected)
    assert table.loc[[("one", "wide"), ("other", "wide")]].isna().all(axis=None)


def test_definitions_are_contrasted_over_the_means_of_all_heads():
    cells = pd.DataFrame({"layer": [0, 0, 0, 1, 1, 1] * 2, "head": [0, 1, 2, 0, 1, 2] * 2})
    first, second = np.concatenate([FIRST, FIRST]), np.concatenate([2 * SECOND, 0 * SECOND])
    table = definition_agreement(cells.assign(a=first, b=second, c=1.0), ["a", "b", "c"], k=2)
    assert list(zip(table["score_a"], table["score_b"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    # Ranks of the six heads, ties shared: 6 5 4 3 1.5 1.5 and 6 4 5 1.5 3 1.5.
    ranks = np.corrcoef([6, 5, 4, 3, 1.5, 1.5], [6, 4, 5, 1.5, 3, 1.5])[0, 1]
    assert table.loc[0, "rank_correlation"] == pytest.approx(ranks)
    assert (table.loc[0, "overlap"], table.loc[0, "heads"]) == (0.5, 6)
    assert table.loc[1:, "rank_correlation"].isna().all()


def test_a_model_of_one_needle_has_all_columns_and_no_numbers():
    scores = HeadScores(np.array([[[0.5, 0.0], [0.1, 0.2]]]), needles(["a"]))
    table = model_agreement({"one": scores}, 1, 0.1)
    assert tuple(table) == ("model_a", "model_b", *COLUMNS) and len(table) == 1
    assert table[list(COLUMNS)].isna().all().all()
