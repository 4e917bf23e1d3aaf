"""Head scores and the ranking with its intervals, by hand-computed examples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retrieval_heads.analysis.model_tables import model_agreement, model_table
from retrieval_heads.analysis.reliability import needle_agreement
from retrieval_heads.analysis.stability import rank_stability
from retrieval_heads.head_scores.intervals import bootstrap_weights, interval, stream, stretch
from retrieval_heads.head_scores.ranking import NO_HEAD, rank_heads
from retrieval_heads.head_scores.scores import HeadScores, from_table
from retrieval_heads.masking.head_sets import HeadSetError, choose_head_sets


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
    # Two needles say nearly nothing about others: the interval ends where scores do.
    assert ranked.loc[0, ["ci_low", "ci_high"]].to_list() == [0, 1.5]
    assert ranked.loc[1, ["activation_low", "activation_high"]].to_list() == [0, 1]


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


def test_frequencies_are_over_the_cells_that_are_not_empty():
    scores = np.array([[[1.0, 0.0]], [[0.5, 0.5]], [[0.0, 0.0]]])
    ranked = rank_heads(HeadScores(scores))
    assert ranked["activation_frequency"].to_list() == [1, 0.5]
    assert (ranked["cells"] == 3).all() and (ranked["empty_cells"] == 1).all()
    assert ranked["score"].to_list() == pytest.approx([0.5, 0.5 / 3])


@pytest.mark.parametrize("value", [0.0, -0.5])
def test_heads_that_never_score_have_no_rank(value):
    scores = HeadScores(np.full((3, 2, 2), value), pd.DataFrame({"needle": ["a", "a", "b"]}))
    ranked = rank_heads(scores)
    assert ranked["rank"].isna().all() and len(ranked) == 4
    table = model_table({"m": scores}, {"m": ranked}, 0.1)
    assert table["best"].to_list() == [NO_HEAD] and table["retrieval_heads"].to_list() == [0]
    assert rank_stability(scores.flat, 2)[["overlap", "held_out"]].isna().all(axis=None)
    assert model_agreement({"m": scores, "n": scores}, 2, 0.1)["overlap"].isna().all()
    assert needle_agreement(scores.flat, scores.needles, 2, 0.1)["overlap"].isna().all()
    with pytest.raises(HeadSetError, match="no retrieval head was found: the best score is"):
        choose_head_sets(ranked, [1], random_draws=1, seed=0, layer_matched=False, bottom=False, threshold=0.1)


def test_an_interval_is_stretched_to_the_number_of_needles():
    assert [round(stretch(count), 2) for count in (1, 3, 10, 1000)] == [1, 2.69, 1.22, 1.0]
    low, high = interval(0.5, np.linspace(0.4, 0.6, 1001), 3, (0, 1))
    assert (low, high) == pytest.approx((0.5 - 0.095 * stretch(3), 0.5 + 0.095 * stretch(3)))
    assert interval(0.5, np.linspace(0.4, 0.6, 1001), 2, (0.3, 1)) == (0.3, 1)


def test_every_factor_and_row_has_random_numbers_of_its_own():
    names = [
        ("cells", "top", 1),
        ("cells", "top", 2),
        ("head sets", "top", 1),
        ("cells", "top", 12),
        ("cells", "top1", 2),
    ]
    first = [np.random.default_rng(stream(0, *name)).integers(2**62) for name in names]
    assert len(set(first)) == len(names)
    assert first[0] == np.random.default_rng(stream(0, *names[0])).integers(2**62)


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
