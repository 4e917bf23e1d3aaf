"""Heads that work near, far, everywhere; bins by hand; windows beside them."""

from __future__ import annotations

import pandas as pd
import pytest

from retrieval_heads.head_scores.head_reach import COLUMNS, head_reach, reach_of

CELL = ["needle", "length", "depth"]
WINDOW = 100


def study(passed: bool = True):
    """Head 0 of layer 0 copies within a window, head 1 beyond it, head 0 of layer 1 anywhere, the other nowhere."""
    cells = pd.DataFrame(
        [
            {"needle": needle, "length": 300, "depth": depth, "prompt_tokens": 250, "answer_start": 2 * depth + number}
            for number, needle in enumerate("ab")
            for depth in range(0, 101, 10)
        ]
    ).assign(passed=passed)
    rows = []
    for cell in cells.itertuples():
        near = cell.prompt_tokens - 1 - cell.answer_start < WINDOW
        for (layer, head), score in {(0, 0): 0.8 * near, (0, 1): 0.6 * (not near), (1, 0): 0.9, (1, 1): 0.0}.items():
            at = {name: getattr(cell, name) for name in CELL}
            rows.append({**at, "layer": layer, "head": head, "copy_count": float(score)})
    scores = pd.DataFrame(rows)
    means = scores.groupby(["layer", "head"], as_index=False)["copy_count"].mean()
    ranking = means.rename(columns={"copy_count": "score"}).sort_values("score", ascending=False, ignore_index=True)
    return cells, scores, ranking.assign(rank=ranking.index + 1)


def measured(*tables, **options) -> pd.DataFrame:
    return head_reach(*tables, {0: WINDOW}, score="copy_count", threshold=0.1, draws=200, **options)


def test_heads_are_told_apart_by_where_they_work():
    table = measured(*study())
    found = table.groupby(["layer", "head"])["reach"].unique().map(lambda one: one.tolist()).to_dict()
    assert found == {(0, 0): ["near only"], (0, 1): ["far only"], (1, 0): ["everywhere"]}
    assert (table["window"].dropna() == WINDOW).all() and set(table.loc[table["window"].isna(), "layer"]) == {1}


def test_bins_by_hand():
    """22 cells at distances 48, 49, 68, 69 … 248, 249 in five bins: 6 nearest ones to 4 or 5 others."""
    cells, scores, ranking = study()
    table = measured(cells, scores, ranking)
    own = table[table["rank"] == 1].reset_index(drop=True)
    assert own["cells"].sum() == 22 and own["needles"].eq(2).all()
    assert (own.loc[0, "distance_from"], own["distance_to"].iloc[-1]) == (48, 249)
    assert (own["distance_to"].to_numpy()[:-1] < own["distance_from"].to_numpy()[1:]).all()
    near = table[(table["layer"] == 0) & (table["head"] == 0)].iloc[0]
    assert (near["score_here"], near["ci_low"], near["ci_high"]) == pytest.approx((0.8, 0.8, 0.8))
    crossing = table[(table["layer"] == 0) & (table["head"] == 0)].query(
        "distance_from < @WINDOW and distance_to >= @WINDOW"
    )
    for row in crossing.itertuples():
        assert row.ci_low < row.score_here < row.ci_high


def test_cells_that_failed_do_not_count():
    cells, scores, ranking = study()
    cells.loc[cells["needle"] == "a", "passed"] = False
    assert measured(cells, scores, ranking)["needles"].eq(1).all()


def test_nothing_to_measure_is_an_empty_table():
    assert list(measured(*study(passed=False)).columns) == COLUMNS
    cells, scores, ranking = study()
    assert measured(cells, scores, ranking.assign(score=0.05)).empty


@pytest.mark.parametrize(
    ("scores", "reach"),
    [
        ([0.5, 0.2, 0.3], "everywhere"),
        ([0.5, 0.2, 0.1], "near only"),
        ([0.0, 0.2, 0.3], "far only"),
        ([0.5, 0.1, 0.3], "in part"),
        ([0.0, 0.5, 0.0], "in part"),
    ],
)
def test_reach_by_hand(scores, reach):
    assert reach_of(pd.Series(scores), 0.1) == reach
