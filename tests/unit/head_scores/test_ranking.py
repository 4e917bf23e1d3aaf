"""Head scores and the ranking with its intervals, by hand-computed examples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retrieval_heads.head_scores.ranking import rank_heads
from retrieval_heads.head_scores.scores import HeadScores, bootstrap_weights, from_table


def table(cells: dict[tuple, dict]) -> pd.DataFrame:
    """(needle, length, depth) -> (layer, head) -> score, as one row for each head and cell."""
    return pd.DataFrame(
        {"needle": n, "length": length, "depth": d, "layer": layer, "head": head, "copy_count": score}
        for (n, length, d), heads in cells.items()
        for (layer, head), score in heads.items()
    )


TWO_NEEDLES = table(
    {
        ("a", 100, 0): {(0, 0): 0.0, (0, 1): 0.5, (1, 0): 1.0, (1, 1): 0.0},
        ("a", 100, 50): {(0, 0): 0.0, (0, 1): 0.0, (1, 0): 1.0, (1, 1): 0.0},
        ("b", 100, 0): {(0, 0): 0.0, (0, 1): 0.25, (1, 0): 1.5, (1, 1): 0.0},
    }
)


def test_layers_without_attention_are_present_as_zeros_and_not_ranked():
    head_scores = from_table(TWO_NEEDLES, "copy_count", (3, 2), {0: (2, 1), 1: (2, 2)})
    assert head_scores.scores.shape == (3, 3, 2)
    assert (head_scores.scores[:, 2] == 0).all()
    assert set(rank_heads(head_scores)["layer"]) == {0, 1}
    assert head_scores.index["kv_group"].to_list() == [0, 0, 0, 1]


def test_ranking_by_hand():
    ranked = rank_heads(from_table(TWO_NEEDLES, "copy_count", (2, 2), {0: (2, 1), 1: (2, 1)}))
    assert list(zip(ranked["layer"], ranked["head"], strict=True)) == [(1, 0), (0, 1), (0, 0), (1, 1)]
    assert ranked["rank"].to_list() == [1, 2, 3, 4]
    assert ranked["kv_group"].to_list() == [0, 0, 0, 0]
    assert ranked["score"].to_list() == pytest.approx([3.5 / 3, 0.25, 0, 0])
    assert ranked["activation_frequency"].to_list() == pytest.approx([1, 2 / 3, 0, 0])
    assert (ranked["cells"] == 3).all() and (ranked["needles"] == 2).all()
    assert (ranked["resampled"] == "needles, then cells").all()
    assert (ranked["ci_low"] <= ranked["score"]).all() and (ranked["score"] <= ranked["ci_high"]).all()
    # Every resample of head 1-0 is made of the means 1 (needle a) and 1.5 (needle b).
    assert ranked.loc[0, ["ci_low", "ci_high"]].to_list() == [1, 1.5]
    # Needle b alone always activates head 0-1. Needle a twice (1/4) is four cells, each active by chance 1/2: none of
    # them in 1.6 % of all draws, one in 6.3 %.
    assert ranked.loc[1, ["activation_low", "activation_high"]].to_list() == [0.25, 1]


def test_groups_that_are_not_known_are_missing():
    assert rank_heads(from_table(TWO_NEEDLES, "copy_count", (2, 2)))["kv_group"].isna().all()


def test_cells_of_unknown_needles_are_resampled_alone():
    ranked = rank_heads(HeadScores(np.array([[[0.0, 1.0]], [[0.0, 0.5]]])))
    assert (ranked["resampled"] == "cells").all() and (ranked["needles"] == 0).all()
    assert ranked.loc[0, ["ci_low", "ci_high"]].to_list() == [0.5, 1]


def test_means_carry_no_interval():
    ranked = rank_heads(HeadScores(np.array([[[0.0, 1.0]]]), averaged=True))
    assert ranked["score"].to_list() == [1, 0]
    unknown = ["ci_low", "ci_high", "activation_frequency", "activation_low", "activation_high", "cells"]
    assert ranked[unknown].isna().all(axis=None)
    assert (ranked["resampled"] == "nothing").all()


def test_cells_without_any_score_are_counted():
    scores = np.zeros((3, 2, 2))
    scores[1, 0, 1] = 0.5
    assert HeadScores(scores).empty_cells == 2


def test_the_bootstrap_resamples_needles_before_cells():
    needles = pd.Series(["a"] * 90 + ["b"] * 10)
    weights = bootstrap_weights(needles, draws=400, seed=0)
    assert np.allclose(weights.sum(1), 1)
    of_b = weights[:, 90:].sum(1)
    # Of two needles, a quarter of the draws takes one needle twice, and a quarter the other.
    assert (of_b == 0).mean() == pytest.approx(0.25, abs=0.07)
    assert (of_b == 1).mean() == pytest.approx(0.25, abs=0.07)


def test_the_interval_is_reproducible():
    head_scores = from_table(TWO_NEEDLES, "copy_count", (2, 2))
    first, second = (rank_heads(head_scores, draws=50, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
