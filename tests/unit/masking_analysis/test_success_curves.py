"""Success against masked heads, and the long tables of the figures, by hand-computed examples."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from retrieval_heads.analysis.model_tables import score_bins
from retrieval_heads.masking_analysis import success_curves
from retrieval_heads.masking_analysis.needle_tests import flip_tests, sums
from retrieval_heads.masking_analysis.success_curves import masked_curve
from retrieval_heads.masking_analysis.tables import masked_curves, needle_grid
from retrieval_heads.text_tables import over_models

CELLS = [("a", 100, 0), ("a", 100, 50), ("a", 200, 0), ("a", 200, 50), ("b", 100, 0), ("b", 100, 50)]


def runs(**sets: str) -> pd.DataFrame:
    """Head set -> one letter a cell, y where it passed. `random_1_0`: draw 0 of the random sets of 1 head."""
    rows = []
    for name, passed in sets.items():
        kind, k, seed = [*name.split("_"), 0, None][:3]
        for (needle, length, depth), letter in zip(CELLS, passed, strict=True):
            row = {
                "head_set": "unmasked" if kind == "none" else name,
                "kind": kind,
                "k": int(k),
                "seed": seed,
                "needle": needle,
            }
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


def test_two_needles_give_no_p_whatever_their_cells(curve):
    assert curve["p"].isna().all() and curve["p_corrected"].isna().all()
    assert curve["p_least"].to_list()[1:] == [0.5] * 3 and np.isnan(curve.loc[("none", 0), "p_least"])
    assert (curve["needles"] == 2).all()


def of_needles(**sets: str) -> pd.DataFrame:
    """Head set -> one letter a needle, of two cells each: y where both passed."""
    return pd.concat(
        [
            pd.DataFrame({"needle": list("abcdefgh"), "passed": [letter == "y" for letter in passed]}).assign(
                head_set="unmasked" if name == "none_0" else name,
                kind=name.split("_")[0],
                k=int(name.split("_")[1]),
                length=100,
                depth=depth,
            )
            for name, passed in sets.items()
            for depth in (0, 50)
        ]
    )


def test_p_flips_the_signs_of_needles():
    table = masked_curve(of_needles(none_0="yyyyyyyy", top_1="yyyyynnn", top_2="nnnnnnnn")).set_index("k")
    # All signs alike, one way or the other: 2 of 2^8, and 2 of 2^3 where only three needles change.
    assert table["p"].to_list()[1:] == pytest.approx([2 / 8, 2 / 256])
    # Step-down: the larger effect against the maximum over both rows, which it reaches in the same flips.
    assert table["p_corrected"].to_list()[1:] == pytest.approx([2 / 8, 2 / 256])
    assert table["p_least"].to_list()[1:] == [2 / 256] * 2
    assert np.isnan(table.loc[0, "p"])


def test_cells_of_one_needle_are_not_taken_for_independent():
    """Noise of needles alone: each of eight needles gains or loses all its cells, by the toss of a coin."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(200):
        differences = np.repeat(generator.choice([-1.0, 1.0], size=8), 30)
        cells = pd.Series(differences, index=pd.MultiIndex.from_arrays([np.repeat(range(8), 30)], names=["needle"]))
        found.append(flip_tests(sums(cells).to_numpy())[0][0])
    assert np.mean(np.array(found) <= 0.05) <= 0.05


def test_every_row_is_resampled_by_itself(monkeypatch):
    seen = []
    real = success_curves.bootstrap_weights
    monkeypatch.setattr(success_curves, "bootstrap_weights", lambda *a: seen.append(real(*a)) or seen[-1])
    masked_curve(RUNS)
    assert len(seen) == 4
    assert not any(np.array_equal(a, b) for a, b in combinations(seen, 2))


def test_intervals_hold_the_success_and_vanish_where_nothing_varies(curve):
    assert (curve["ci_low"] <= curve["success"]).all() and (curve["success"] <= curve["ci_high"]).all()
    assert curve.loc[("none", 0), ["ci_low", "ci_high"]].to_list() == pytest.approx([100, 100])
    assert curve.loc[("top", 2), ["ci_low", "ci_high"]].to_list() == [0, 0]
    # Two needles of 0 and 50 %: of other needles they say nothing.
    assert curve.loc[("top", 1), ["ci_low", "ci_high"]].to_list() == [0, 100]


def test_the_order_of_rows_does_not_matter(curve):
    shuffled = masked_curve(RUNS.sample(frac=1, random_state=1)).set_index(["kind", "k"])
    columns = ["success", "ci_low", "ci_high", "cells", "draws", "difference", "p", "p_corrected"]
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


def test_the_grid_of_a_model_without_top_heads_is_its_unmasked_one():
    grid = needle_grid({"one": RUNS, "given": runs(none="yyyyyy", theirs_3="nnnnnn")}, 2)
    assert set(grid.loc[grid["model"] == "given", "kind"]) == {"none"}


def test_the_run_to_compare_with_is_the_unmasked_one():
    both = pd.concat([RUNS, runs(none_1="nnnnnn").assign(head_set="a")])
    table = masked_curve(both).set_index(["kind", "k"])
    assert table.loc[("top", 2), "difference"] == -100
