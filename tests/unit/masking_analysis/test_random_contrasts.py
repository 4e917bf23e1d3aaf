"""Top heads against the draws of random ones, by hand-computed examples."""

from __future__ import annotations

import pandas as pd
import pytest

from retrieval_heads.masking_analysis.random_contrasts import COLUMNS, masked_contrast

CELLS = [("a", 100, 0), ("a", 100, 50), ("a", 200, 0), ("a", 200, 50), ("b", 100, 0), ("b", 100, 50)]


def runs(**sets: str) -> pd.DataFrame:
    """Head set -> one letter a cell, y where it passed."""
    rows = []
    for name, passed in sets.items():
        kind, k = name.split("_")[:2]
        for (needle, length, depth), letter in zip(CELLS, passed, strict=True):
            row = {"head_set": name, "kind": kind, "k": int(k), "needle": needle, "length": length, "depth": depth}
            rows.append(row | {"passed": letter == "y"})
    return pd.DataFrame(rows)


RUNS = runs(
    none_0="yyyyyy",
    top_1="nnnnny",
    top_2="nnnnnn",
    top_4="yyyyyy",
    random_1_0="yyyyyy",
    random_1_1="yyyyyn",
    random_2_0="nnnnnn",
    random_2_1="yyynnn",
    random_2_2="yyyyyy",
)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return masked_contrast(RUNS).set_index("k")


def test_a_size_without_controls_has_no_row(table):
    assert table.index.to_list() == [1, 2]
    assert [table.index.name, *table.columns] == COLUMNS


def test_success_and_difference(table):
    assert table["top"].to_list() == pytest.approx([100 / 6, 0])
    assert table["random"].to_list() == pytest.approx([1100 / 12, 50])
    assert table["difference"].to_list() == pytest.approx([-75, -50])
    assert table["draws"].to_list() == [2, 3]
    # Percentiles between the draws 83.3 and 100, and between 0, 50 and 100.
    assert table.loc[1, ["random_low", "random_high"]].to_list() == pytest.approx([83.75, 99.583], abs=1e-2)
    assert table.loc[2, ["random_low", "random_high"]].to_list() == pytest.approx([2.5, 97.5])
    assert ((table["ci_low"] <= table["difference"]) & (table["difference"] <= table["ci_high"])).all()


def test_the_place_among_the_draws(table):
    assert table["draws_as_low"].to_list() == [0, 1]
    # So few draws can give no p of 0.05.
    assert table["p_draws_least"].to_list() == pytest.approx([1 / 3, 1 / 4])
    assert table["p_draws"].isna().all() and table["p_draws_corrected"].isna().all()


def test_p_draws_is_the_place_among_enough_draws():
    draws = {f"random_{k}_{draw}": "yyyyyy" for k in (1, 2) for draw in range(19)}
    found = masked_contrast(runs(none_0="yyyyyy", top_1="nnnnny", top_2="nnnnnn", **draws))
    assert found["p_draws"].to_list() == [1 / 20] * 2
    # Holm doubles it, beyond what 19 draws can show; 39 can.
    assert found["p_draws_corrected"].isna().all()
    draws |= {f"random_{k}_{draw}": "yyyyyn" for k in (1, 2) for draw in range(19, 39)}
    found = masked_contrast(runs(none_0="yyyyyy", top_1="nnnnny", top_2="nnnnnn", **draws))
    assert found["p_draws_corrected"].to_list() == pytest.approx([2 / 40] * 2)


def test_two_needles_give_no_p_whatever_their_cells(table):
    assert (table["needles"] == 2).all() and table["p_needles_least"].to_list() == [0.5] * 2
    assert table["p_needles"].isna().all() and table["p_needles_corrected"].isna().all()


def test_p_needles_flips_the_signs_of_needles():
    parts = [
        runs(none_0="yyyyyy", top_1="nnnnnn", random_1_0="yyyyyy", random_1_1="yyyyyn").assign(
            needle=lambda rows, number=number: rows["needle"] + str(number)
        )
        for number in range(3)
    ]
    found = masked_contrast(pd.concat(parts))
    assert found["needles"].to_list() == [6]
    assert found["p_needles"].to_list() == found["p_needles_corrected"].to_list() == pytest.approx([2 / 64])
    same = masked_contrast(pd.concat(parts).assign(passed=True))
    assert same["p_needles"].to_list() == [1] and same["difference"].to_list() == [0]


def test_an_interval_with_nothing_to_vary_is_a_point():
    sure = masked_contrast(runs(none_0="yyyyyy", top_1="nnnnnn", random_1_0="yyyyyy", random_1_1="yyyyyy"))
    assert sure[["ci_low", "ci_high"]].to_numpy().tolist() == [[-100, -100]]


def test_without_random_sets_the_table_is_empty():
    table = masked_contrast(runs(none_0="yyyyyy", top_1="nnnnnn"))
    assert table.empty and list(table.columns) == COLUMNS
