"""General retrieval heads by hand: ranking, intersection, head sets and the tables of their validation."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from retrieval_heads.sum_attention.ranking import (
    SumAttentionError,
    combine,
    export,
    rank_task,
    task_agreement,
    validation_sets,
)
from retrieval_heads.sum_attention.tables import by_depth, by_lowest, by_task, fifth, summary

MODEL = {"layers": 2, "heads": 2, "heads_by_layer": {"0": [2, 1], "1": [2, 1]}}


def ranking(scores: list[float]) -> pd.DataFrame:
    """Of the heads 0-0, 0-1, 0-2 ..., with these scores, best first."""
    table = pd.DataFrame({"layer": 0, "head": range(len(scores)), "score": scores})
    table = table.sort_values("score", ascending=False, ignore_index=True)
    return table.assign(rank=np.arange(1, len(scores) + 1))


RANKINGS = {"state": ranking([0.9, 0.8, 0.1, 0.0, 0.3]), "chief": ranking([0.7, 0.0, 0.2, 0.1, 0.6])}


def test_a_task_is_ranked_by_the_cells_that_were_answered():
    cells = pd.DataFrame(
        {"needle": ["a", "b"], "length": 64, "depth": 50, "passed": [True, False], "response": ["yes", "no"]}
    )
    scores = pd.DataFrame(
        [
            {"needle": needle, "length": 64, "depth": 50, "layer": layer, "head": head, "attention_sum": value}
            for needle, values in (("a", [0.1, 0.9, 0.3, 0.2]), ("b", [0.9, 0.0, 0.9, 0.9]))
            for (layer, head), value in zip([(0, 0), (0, 1), (1, 0), (1, 1)], values, strict=True)
        ]
    )
    ranked = rank_task(cells, scores, MODEL, "state")
    assert list(zip(ranked["rank"], ranked["layer"], ranked["head"], ranked["score"], strict=True)) == [
        (1, 0, 1, 0.9),
        (2, 1, 0, 0.3),
        (3, 1, 1, 0.2),
        (4, 0, 0, 0.1),
    ]
    assert set(ranked["cells"]) == {1} and set(ranked["facts"]) == {1}
    with pytest.raises(SumAttentionError, match=r"none of 2 cells of 'state' was answered \(first response: 'yes'\)"):
        rank_task(cells.assign(passed=False), scores, MODEL, "state")


def test_general_heads_are_at_the_top_of_every_task(tmp_path):
    heads = combine(RANKINGS, top=2)
    assert heads["head"].tolist() == [0, 4, 1, 2, 3]
    np.testing.assert_allclose(heads["mean_score"], [0.8, 0.45, 0.4, 0.15, 0.05])
    assert heads["tasks_in_top"].tolist() == [2, 1, 1, 0, 0]
    assert heads.loc[heads["general"], "head"].tolist() == [0]
    assert combine(RANKINGS, top="60%")["general"].sum() == 2, "three heads: 0 1 4 and 0 4 2"
    export(heads[heads["general"]], tmp_path / "general_heads")
    assert (tmp_path / "general_heads.csv").read_text() == "layer,head,mean_score\n0,0,0.8\n"
    assert json.loads((tmp_path / "general_heads.json").read_text()) == [{"layer": 0, "head": 0, "mean_score": 0.8}]


def test_head_sets_of_the_validation():
    heads = combine(RANKINGS, top=2)
    sets = validation_sets(heads, [1, "60%"], random_draws=6, seed=0, layer_matched=False)
    found = {head_set["name"]: head_set for head_set in sets}
    assert found["top-1"]["heads"] == [[0, 0]]
    drawn = {tuple(found[f"random-1-{draw}"]["heads"][0]) for draw in range(6)}
    assert drawn == {(0, 2), (0, 3)}, "neither the general head nor those at the top of one task"
    assert found["bottom-1"]["heads"] == [[0, 3]]
    assert found["bottom-3"]["heads"] == [[0, 1], [0, 2], [0, 3]]
    assert sorted(found) == sorted(["top-1", "bottom-1", "bottom-3", *(f"random-1-{draw}" for draw in range(6))])


def test_no_general_head_and_too_many_lowest_are_refused():
    apart = combine({"state": ranking([0.9, 0.1, 0.0]), "chief": ranking([0.0, 0.1, 0.9])}, top=1)
    with pytest.raises(SumAttentionError, match=r"sum_attention.top: no head is .* share one: 1\); raise it"):
        validation_sets(apart, [1], random_draws=1, seed=0, layer_matched=False)
    with pytest.raises(SumAttentionError, match=r"sum_attention.lowest: 6 is more than the 5 heads"):
        validation_sets(combine(RANKINGS, top=2), [6], random_draws=1, seed=0, layer_matched=False)


def test_agreement_of_two_tasks():
    row = task_agreement(RANKINGS, top=2).iloc[0]
    assert (row["task_a"], row["task_b"], row["k"], row["overlap"], row["overlap_chance"]) == (
        "state",
        "chief",
        2,
        0.5,
        0.4,
    )
    assert task_agreement({"state": RANKINGS["state"]}, top=2).empty


def runs(passed: dict[tuple[str, int], list[int]]) -> pd.DataFrame:
    """Head set (kind, k) -> whether each of ten facts was answered; facts 0 to 4 stand at depth 10, others at 90."""
    return pd.DataFrame(
        [
            {
                "task": "state" if fact % 2 else "chief",
                "head_set": f"{kind}-{k}" if k else "unmasked",
                "kind": kind,
                "k": k,
                "seed": None,
                "needle": f"fact{fact}",
                "length": 64,
                "depth": 10 if fact < 5 else 90,
                "passed": bool(answered),
            }
            for (kind, k), found in passed.items()
            for fact, answered in enumerate(found)
        ]
    )


RUNS = runs(
    {
        ("none", 0): [1] * 10,
        ("top", 3): [0] * 5 + [1] * 5,
        ("random", 3): [1] * 9 + [0],
        ("bottom", 4): [1] * 10,
        ("bottom", 8): [0] * 9 + [1],
        ("bottom", 6): [0] + [1] * 9,
    }
)


def test_accuracy_by_depth():
    table = by_depth(RUNS, natural=False).set_index(["depth", "kind"])["accuracy"]
    assert table.to_dict() == {
        (10, "none"): 100,
        (10, "top"): 0,
        (10, "random"): 100,
        (90, "none"): 100,
        (90, "top"): 100,
        (90, "random"): 80,
    }
    spread = RUNS.assign(depth=RUNS["depth"].where(RUNS["depth"] > 10, RUNS.index % 10))
    assert set(by_depth(spread, natural=True)["depth"]) == {10, 90}, "depths 0 to 4 are of the first fifth"
    assert [fifth(depth) for depth in (0, 19, 20, 99, 100)] == [10, 10, 30, 90, 90]


def test_accuracy_by_task():
    table = by_task(RUNS).set_index(["task", "kind"])
    assert table["accuracy"].loc[("all", "top")] == 50
    assert table["accuracy"].loc[("chief", "top")] == 40, "facts 6 and 8 of 0, 2, 4, 6 and 8"
    assert table["difference"].loc[("all", "random")] == pytest.approx(-10)
    assert table["p"].loc[("all", "top")] == pytest.approx(2 * 0.5**5)


def test_where_accuracy_starts_to_fall():
    table = by_lowest(RUNS, heads=10)
    assert table["k"].tolist() == [0, 4, 6, 8]
    assert table["share"].tolist() == [0, 40, 60, 80]
    assert table["accuracy"].tolist() == [100, 100, 90, 10]
    assert table["falls"].tolist() == [False, False, False, True], "one cell lost is no fall: p = 1"
    # Nine of ten facts are lost: all signs alike, and the tenth either way. The other sizes reach no such sum.
    assert table["p_corrected"].iloc[-1] == pytest.approx(2 * 0.5**9)
    assert table["facts"].iloc[0] == 10 and table["p_least"].iloc[-1] == 2 * 0.5**10


def test_the_summary_beside_chance():
    found = summary(combine(RANKINGS, top=2), tasks=2, k=2)
    assert found == {
        "heads": 5,
        "tasks": 2,
        "top": 2,
        "general": 1,
        "expected": pytest.approx(0.8),
        "lowest_general": 0.8,
    }
