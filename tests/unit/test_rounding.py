"""No verdict of a table hangs on the last digit of a float: values that differ by one rounding count as equal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retrieval_heads.analysis.agreement import agreement, top
from retrieval_heads.analysis.thresholds import threshold_sweep
from retrieval_heads.downstream.paired_tests import bootstrap_p
from retrieval_heads.head_scores.ranking import rank_heads
from retrieval_heads.head_scores.scores import HeadScores
from retrieval_heads.masking.head_sets import choose_head_sets
from retrieval_heads.masking_analysis.needle_tests import flip_tests
from retrieval_heads.masking_analysis.random_contrasts import masked_contrast
from retrieval_heads.masking_analysis.success_curves import masked_curve
from retrieval_heads.prompts.recall import passes
from retrieval_heads.rounding import settled

# What one rounding can add to a value near 1.
TINY = np.finfo(float).eps / 2


def test_values_that_differ_by_rounding_become_equal():
    assert 0.1 + 0.2 != 0.3
    assert settled(0.1 + 0.2) == 0.3
    assert settled(np.array([-TINY, 1 - TINY])).tolist() == [0.0, 1.0]
    assert np.signbit(settled(np.array([-TINY]))).tolist() == [False]
    assert settled(0.25 + 1e-9) != 0.25


def test_a_bootstrap_of_no_difference_gives_1_whatever_the_rounding():
    generator = np.random.default_rng(0)
    assert bootstrap_p(generator.choice([-TINY, 0.0, TINY], size=9999)) == 1


def test_two_orders_of_one_sum_give_the_same_p():
    generator = np.random.default_rng(1)
    items = generator.multinomial(40, np.full(40, 1 / 40), size=2000) / 40
    lost = generator.choice([0.0, 1 / 3, 2 / 3, 1.0], size=40)
    difference = items @ lost - items[:, ::-1] @ lost[::-1]
    assert bootstrap_p(difference) == 1


def head_scores(means: list[float], cells: int = 3) -> HeadScores:
    """One layer; every cell scores `means`, so that the mean over cells rounds."""
    return HeadScores(np.array([means] * cells)[:, None, :])


def test_a_mean_of_exactly_the_threshold_is_not_above_it():
    found = head_scores([0.1, 0.3])
    assert found.scores.mean(0)[0, 0] > 0.1, "the plain mean must round up, or this test shows nothing"
    assert rank_heads(found)["score"].tolist() == [0.3, 0.1]
    assert threshold_sweep(found, [0.1])["heads"].tolist() == [1]
    assert threshold_sweep(found, [0.1])[["ci_low", "ci_high"]].to_numpy().tolist() == [[50, 50]]
    assert agreement(found.flat.mean(0), found.flat.mean(0), 1, 0.1)["jaccard"] == 1
    sets = choose_head_sets(
        rank_heads(found), [1], random_draws=1, seed=0, layer_matched=False, bottom=False, threshold=0.1
    )
    assert [one["heads"] for one in sets] == [[[0, 1]], [[0, 0]]]


def test_ties_between_heads_go_to_the_first():
    assert top(np.array([0.5, 0.5 + TINY, 0.7 - TINY, 0.7]), 3).tolist() == [2, 3, 0]
    ranked = rank_heads(HeadScores(np.array([[[0.5, 0.5 + TINY, 0.2]]])))
    assert ranked["head"].tolist() == [0, 1, 2]


def test_equal_ranks_stay_equal_in_a_rank_correlation():
    first = np.array([0.1, 0.2, 0.2, 0.4, 0.5])
    shaken = first + np.array([0, TINY / 4, -TINY / 4, 0, 0])
    other = np.array([0.3, 0.1, 0.2, 0.5, 0.6])
    assert agreement(shaken, other, 2, 0.1) == agreement(first, other, 2, 0.1)


def runs(table: dict[tuple[str, int, str], list[float]]) -> pd.DataFrame:
    rows = [
        {"head_set": name, "kind": kind, "k": k, "seed": 0, "needle": "a", "length": cell, "depth": 0, "passed": value}
        for (kind, k, name), values in table.items()
        for cell, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_a_draw_as_low_as_the_top_set_is_counted_and_no_difference_gives_1():
    # The sum of the first draw rounds away from that of the top set.
    table = runs(
        {
            ("none", 0, "unmasked"): [1.0] * 3,
            ("top", 1, "top-1"): [0.1, 0.1, 0.1],
            ("random", 1, "random-1-0"): [0.3, 0.0, TINY],
            ("random", 1, "random-1-1"): [1.0, 1.0, 1.0],
        }
    )
    assert masked_contrast(table)["draws_as_low"].tolist() == [1]
    same = runs(
        {
            ("none", 0, "unmasked"): [0.5] * 8,
            ("random", 1, "random-1-0"): [0.5 + TINY] * 8,
            ("random", 1, "random-1-1"): [0.5 - TINY] * 8,
        }
    )
    needles = pd.Series([f"needle {cell}" for cell in same["length"]])
    assert masked_curve(same.assign(needle=needles))["p"].tolist()[1] == 1


def test_flips_that_give_the_same_sum_count_as_equal():
    generator = np.random.default_rng(2)
    differences = generator.choice([0.1, 0.2, 0.3], size=(10, 3))
    shaken = differences + TINY * generator.choice([-1, 1], size=differences.shape)
    for plain, other in zip(flip_tests(differences), flip_tests(shaken), strict=True):
        assert plain.tolist() == other.tolist()


@pytest.mark.parametrize("recall", [50.0, 50 + 1e-14, 100 * 0.07 * (50 / 7)])
def test_a_recall_of_exactly_the_limit_does_not_pass(recall):
    assert not passes(recall, 50)
    assert passes(recall + 0.01, 50)
