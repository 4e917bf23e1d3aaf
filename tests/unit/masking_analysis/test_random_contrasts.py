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
    assert table["p_draws"].to_list() == pytest.approx([1 / 3, 2 / 4])
    # Holm: the smallest times 2, and never falling.
    assert table["p_draws_corrected"].to_list() == pytest.approx([2 / 3, 2 / 3])


def test_the_signed_rank_test_is_paired_by_cell(table):
    # Top 1 against the mean of its draws: five cells by -1, one by +0.5, whose rank is 1. Of the 64 ways to give signs,
    # 2 have a rank sum of the positive ones of at most 1. Top 2: six cells by -1/3 or -2/3; 1 way of 64. Both sides
    # count.
    assert table["p_cells"].to_list() == pytest.approx([4 / 64, 2 / 64])
    assert table["p_cells_corrected"].to_list() == pytest.approx([4 / 64, 4 / 64])
    same = masked_contrast(runs(none_0="yyyyyy", top_1="yynnyy", random_1_0="yynnyy"))
    assert same["p_cells"].to_list() == [1] and same["difference"].to_list() == [0]


def test_an_interval_with_nothing_to_vary_is_a_point():
    sure = masked_contrast(runs(none_0="yyyyyy", top_1="nnnnnn", random_1_0="yyyyyy", random_1_1="yyyyyy"))
    assert sure[["ci_low", "ci_high"]].to_numpy().tolist() == [[-100, -100]]


def test_without_random_sets_the_table_is_empty():
    table = masked_contrast(runs(none_0="yyyyyy", top_1="nnnnnn"))
    assert table.empty and list(table.columns) == COLUMNS
