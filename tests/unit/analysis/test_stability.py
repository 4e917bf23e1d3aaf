"""Stability, reliability, thresholds and locations of retrieval heads, by hand-computed examples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retrieval_heads.analysis.layer_distribution import locations
from retrieval_heads.analysis.model_tables import model_table, per_model
from retrieval_heads.analysis.reliability import needle_agreement, needle_counts, split_half
from retrieval_heads.analysis.stability import QUICK, rank_stability
from retrieval_heads.analysis.thresholds import threshold_sweep
from retrieval_heads.head_scores.ranking import rank_heads
from retrieval_heads.head_scores.scores import HeadScores

# Four cells in which the same heads score, and four in which others do.
STEADY = np.tile([0.9, 0.5, 0.0, 0.0], (4, 1))
TURNED = np.tile([0.0, 0.0, 0.5, 0.9], (4, 1))
MIXED = np.concatenate([STEADY, TURNED])
NEEDLES = pd.Series(["a"] * 4 + ["b"] * 4)


def test_a_ranking_that_never_changes_is_found_by_one_cell():
    table = rank_stability(np.repeat(STEADY, 10, axis=0), k=2)
    assert table["cells"].to_list() == [1, 2, 5, 10, 20]
    assert (table[["overlap", "overlap_low", "held_out", "held_out_low"]] == 1).all(axis=None)
    assert table.loc[table["quick"], "cells"].to_list() == [QUICK]
    assert (table["of"] == 40).all()


def test_one_cell_of_two_kinds_recovers_half():
    # Ties at 0.45 and 0.25: the top two of all cells are heads 0 and 3. A cell names heads 0 and 1, or 2 and 3.
    table = rank_stability(MIXED, k=2, sizes=[1])
    assert table[["overlap", "overlap_low", "overlap_high"]].to_numpy().tolist() == [[0.5, 0.5, 0.5]]


def test_held_out_cells_do_not_hold_the_drawn_ones():
    # Of two cells that disagree, the one not drawn shares nothing with the other.
    table = rank_stability(MIXED[[0, 4]], k=1, sizes=[1])
    assert table["held_out"].to_list() == [0]


def test_a_single_cell_is_compared_with_itself_alone():
    table = rank_stability(STEADY[:1], k=2)
    assert table["overlap"].to_list() == [1] and table["held_out"].isna().all()


def test_more_heads_than_there_are():
    assert rank_stability(MIXED, k=99, sizes=[1])["k"].to_list() == [4]


def test_split_half_of_cells_that_agree_is_one_and_stratified_by_needle():
    # Each half holds two cells of each needle, so both halves have the same means.
    found = split_half(MIXED, NEEDLES)
    assert found["reliability"] == pytest.approx(1) and found["splits"] == 200


def test_split_half_is_lengthened_by_spearman_and_brown():
    scores = np.array([[0.0, 1.0, 2.0], [0.0, 2.0, 1.0]])
    # Two cells, one in each half: r = 0.5, so 2 * 0.5 / 1.5.
    assert split_half(scores, pd.Series(["a", "a"]))["reliability"] == pytest.approx(2 / 3)


def test_split_half_needs_two_cells_of_a_needle():
    assert np.isnan(split_half(MIXED[[0, 4]], pd.Series(["a", "b"]))["reliability"])


def test_needles_are_compared_pair_by_pair():
    table = needle_agreement(MIXED, NEEDLES, k=2, threshold=0.1)
    assert table[["needle_a", "needle_b", "overlap", "jaccard"]].to_numpy().tolist() == [["a", "b", 0, 0]]
    assert needle_agreement(STEADY, pd.Series(["a"] * 4), k=2, threshold=0.1).empty


def test_needle_counts_by_hand():
    scores = np.concatenate([MIXED, [[0.9, 0.0, 0.9, 0.0]]])
    table = needle_counts(scores, pd.Series([*NEEDLES, "c"]), 0.6).set_index("needle")
    assert table["retrieval_heads"].to_dict() == {"a": 1, "b": 1, "c": 2, "all": 0, "any": 3}
    assert table["cells"].to_dict() == {"a": 4, "b": 4, "c": 1, "all": 9, "any": 9}


def head_scores(cells: np.ndarray, **known) -> HeadScores:
    return HeadScores(cells.reshape(len(cells), 2, 2), pd.DataFrame({"needle": NEEDLES[: len(cells)]}), **known)


def test_threshold_sweep_by_hand():
    table = threshold_sweep(head_scores(MIXED), [0.2, 0.3, 0.5]).set_index("threshold")
    # Means .45 .25 .25 .45.
    assert table["heads"].to_dict() == {0.2: 4, 0.3: 2, 0.5: 0}
    assert table["share"].to_list() == [100, 50, 0]
    # A resample of one needle twice has the means .9 .5 0 0: two heads above any of the thresholds up to .5.
    assert table.loc[0.2, ["ci_low", "ci_high"]].to_list() == [50, 100]
    assert (table["resampled"] == "needles, then cells").all()


def test_the_sweep_of_means_has_no_interval():
    table = threshold_sweep(HeadScores(STEADY[:1].reshape(1, 2, 2), averaged=True), [0.1])
    assert table["heads"].to_list() == [2] and table[["ci_low", "ci_high"]].isna().all(axis=None)


def ranked(cells: np.ndarray, kv_heads: int | None) -> pd.DataFrame:
    groups = {layer: (4, kv_heads) for layer in range(2)}
    return rank_heads(HeadScores(cells.reshape(-1, 2, 4), None, groups), draws=10)


def test_locations_by_hand():
    table = locations(ranked(np.array([[0.9, 0.9, 0, 0, 0, 0, 0, 0.9]]), kv_heads=2), 0.1)
    assert table["relative_depth"].to_list() == [0, 1]
    assert table["retrieval_heads"].to_list() == [2, 1]
    assert (table["groups"] == 4).all()
    # The two heads of the first layer share a group; the one of the second has a group.
    assert (table["groups_held"] == 2).all()
    # Two random heads of four share a group with probability 1/3, so they hold 5/3 groups on average, one head holds 1.
    assert table["groups_chance"].iloc[0] == pytest.approx(8 / 3, abs=0.05)
    assert table[["groups_low", "groups_high"]].iloc[0].to_list() == [2, 3]


@pytest.mark.parametrize("kv_heads", [None, 4])
def test_heads_with_keys_of_their_own_have_no_groups_to_share(kv_heads):
    table = locations(ranked(np.array([[0.9, 0, 0, 0, 0, 0, 0, 0.9]]), kv_heads), 0.1)
    assert table.filter(like="groups").isna().all(axis=None)


def test_one_row_a_model():
    empty = np.zeros_like(MIXED[:1])
    found = {
        "one": head_scores(np.concatenate([MIXED[:7], empty])),
        "means": HeadScores(np.ones((1, 1, 2)), averaged=True),
    }
    table = model_table(found, {model: rank_heads(scores) for model, scores in found.items()}, 0.1).set_index("model")
    row = table.loc["one", ["layers", "heads", "retrieval_heads", "share", "best", "cells", "empty_cells", "needles"]]
    assert row.to_list() == [2, 4, 4, 100, "0-0 1-1 0-1 1-0", 8, 1, 2]
    assert table.loc["one", "always_active"] == 0
    assert table.loc["means", ["cells", "reliability"]].isna().all()
    assert table.loc["means", "best"] == "0-0 0-1"


def test_files_of_means_are_left_out_where_single_cells_are_needed():
    means = HeadScores(np.ones((1, 1, 2)), averaged=True)
    assert per_model({"means": means}, lambda scores: rank_stability(scores.flat, 1)).empty
    both = per_model({"means": means, "one": head_scores(MIXED)}, lambda scores: rank_stability(scores.flat, 1))
    assert set(both["model"]) == {"one"}
