"""Success against masked heads, and the long tables of the figures, by hand-computed examples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retrieval_heads.analysis.model_tables import over_models, score_bins
from retrieval_heads.masking_analysis.success_curves import masked_curve
from retrieval_heads.masking_analysis.tables import masked_curves, needle_grid

CELLS = [("a", 100, 0), ("a", 100, 50), ("a", 200, 0), ("a", 200, 50), ("b", 100, 0), ("b", 100, 50)]


def runs(**sets: str) -> pd.DataFrame:
    """Head set -> one letter a cell, y where it passed. `random_1_0`: draw 0 of the random sets of 1 head."""
    rows = []
    for name, passed in sets.items():
        kind, k, seed = [*name.split("_"), 0, None][:3]
        for (needle, length, depth), letter in zip(CELLS, passed, strict=True):
            row = {"head_set": name, "kind": kind, "k": int(k), "seed": seed, "needle": needle}
            row |= {"length": length, "depth": depth, "rouge1_recall": 100.0 if letter == "y" else 25.0}
            rows.append(row | {"passed": letter == "y"})
    return pd.DataFrame(rows)


RUNS = runs(none="yyyyyy", top_1="nnnnny", top_2="nnnnnn", random_1_0="yyyyyy", random_1_1="yyyyyn")


@pytest.fixture(scope="module")
def curve() -> pd.DataFrame:
    return masked_curve(RUNS).set_index(["kind", "k"])


def test_success_is_percent_of_cells_over_all_draws(curve):
    assert curve["success"].to_dict() == {
        ("none", 0): 100,
        ("top", 1): pytest.approx(100 / 6),
        ("top", 2): 0,
        ("random", 1): pytest.approx(1100 / 12),
    }
    assert curve["difference"].to_list() == pytest.approx([0, -500 / 6, -100, -100 / 12])
    assert curve["draws"].to_list() == [1, 1, 1, 2]
    assert (curve["cells"] == 6).all()


def test_p_is_mcnemar_paired_by_cell_and_corrected_by_holm(curve):
    # Lost cells: 5 of top 1, 6 of top 2, and of the random sets the cell that one of two draws lost, which is
    # no majority. p of n lost cells is 2 / 2^n.
    assert np.isnan(curve.loc[("none", 0), "p"])
    assert curve["p"].to_list()[1:] == pytest.approx([1 / 16, 1 / 32, 1])
    # Holm: the smallest times 3, the next times 2, the last times 1, and never falling.
    assert curve["p_corrected"].to_list()[1:] == pytest.approx([1 / 8, 3 / 32, 1])
    assert np.isnan(curve.loc[("none", 0), "p_corrected"])


def test_intervals_hold_the_success_and_vanish_where_nothing_varies(curve):
    assert (curve["ci_low"] <= curve["success"]).all() and (curve["success"] <= curve["ci_high"]).all()
    assert curve.loc[("none", 0), ["ci_low", "ci_high"]].to_list() == pytest.approx([100, 100])
    assert curve.loc[("top", 2), ["ci_low", "ci_high"]].to_list() == [0, 0]
    assert curve.loc[("top", 1), "ci_low"] == 0 < curve.loc[("top", 1), "ci_high"]


def test_the_order_of_rows_does_not_matter(curve):
    shuffled = masked_curve(RUNS.sample(frac=1, random_state=1)).set_index(["kind", "k"])
    columns = ["success", "cells", "draws", "difference", "p", "p_corrected"]
    pd.testing.assert_frame_equal(shuffled.loc[curve.index, columns], curve[columns])


def test_models_are_stacked_with_their_name_first():
    table = masked_curves({"one": RUNS, "two": RUNS})
    assert table.columns[0] == "model"
    assert table["model"].value_counts().to_dict() == {"one": 4, "two": 4}
    assert list(over_models({"one": pd.DataFrame({"x": [1]})}).columns) == ["model", "x"]


def test_bins_are_closed_above():
    ranking = pd.DataFrame({"score": [0.0, 0.0, 0.05, 0.1, 0.11, 0.5, 0.51, 1.4]})
    table = score_bins({"one": ranking})
    assert table["heads"].to_list() == [2, 2, 2, 2]
    assert table["share"].to_list() == [25, 25, 25, 25]
    assert table["bin"].to_list() == ["0", "0 to 0.1", "0.1 to 0.5", "above 0.5"]


@pytest.mark.parametrize(("shown", "k"), [(1, 1), (5, 2)])
def test_the_grid_shows_the_size_that_comes_nearest(shown, k):
    grid = needle_grid({"one": RUNS}, shown)
    assert set(grid["kind"]) == ({"none", "top", "random"} if k == 1 else {"none", "top"})
    top = grid[grid["kind"] == "top"].set_index(["length", "depth"])
    assert (top["k"] == k).all()
    # Two needles were asked at length 100, one at length 200.
    assert top["runs"].to_dict() == {(100, 0): 2, (100, 50): 2, (200, 0): 1, (200, 50): 1}
    assert top.loc[(100, 50), "recall"] == (62.5 if k == 1 else 25)
