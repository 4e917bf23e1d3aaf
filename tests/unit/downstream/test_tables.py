"""The downstream report by hand-computed examples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from retrieval_heads.downstream.head_sets import SizeError, as_masks, chosen_sets
from retrieval_heads.downstream.paired_tests import Paired, bootstrap_p
from retrieval_heads.downstream.tables import TableError, contrasts, corrected, report, stacked, with_units

SCORES = {
    "direct": {"none": "1110", "top": "1100", "random-0": "1110", "random-1": "1100"},
    "cot": {"none": "1111", "top": "0000", "random-0": "1111", "random-1": "1101"},
}


def verdicts(scores: dict[str, dict[str, str]] = SCORES, repeat: int = 1) -> pd.DataFrame:
    """One letter an item; `repeat` says every item again under another name."""
    rows = []
    for mode, sets in scores.items():
        for name, letters in sets.items():
            kind = name.split("-")[0]
            for number, letter in enumerate(letters * repeat):
                row = {"model": "m", "task": "t", "mode": mode, "item": f"i{number}", "head_set": name, "kind": kind}
                row |= {"k": 0 if kind == "none" else 2, "score": float(letter), "readable": letter == "1"}
                rows.append(row | {"cut": letter == "0", "tokens": 3 + number % 4})
    return pd.DataFrame(rows)


def table(**changes) -> pd.DataFrame:
    judged = verdicts(**changes)
    forms = judged[["model", "task", "mode"]].drop_duplicates().assign(metric="acc,none", chance=0.25, version="1.0")
    fluency = judged[["model", "kind", "k"]].drop_duplicates().assign(perplexity=[3.0, 6.0, 4.0])
    return report(judged, forms, fluency).set_index(["mode", "kind"])


def test_scores_differences_and_manner():
    found = table()
    assert found["score"].to_dict() == {
        ("direct", "none"): 75,
        ("direct", "top"): 50,
        ("direct", "random"): 62.5,
        ("cot", "none"): 100,
        ("cot", "top"): 0,
        ("cot", "random"): 87.5,
    }
    assert found["difference"].to_list() == [0, -25, -12.5, 0, -100, -12.5]
    assert found["draws"].to_list() == [1, 1, 2] * 2
    assert (found["n"] == 4).all()
    assert (found["chance"] == 25).all()
    assert (found["tokens"] == 4.5).all()
    assert (found["unreadable"] == 100 - found["score"]).all()
    assert (found["cut"] == found["unreadable"]).all()
    assert found.loc["cot", "perplexity"].to_list() == [3, 6, 4]
    assert (found["ci_low"] <= found["score"]).all() and (found["score"] <= found["ci_high"]).all()
    assert found.loc[("cot", "top"), ["ci_low", "ci_high", "difference_low", "difference_high"]].to_list() == [
        0,
        0,
        -100,
        -100,
    ]


def test_tests_are_mcnemar_for_one_set_and_bootstrap_for_several():
    found = table(repeat=5)
    assert found.loc[("direct", "top"), "test"] == found.loc[("cot", "top"), "test"] == "McNemar"
    # One item of four is lost, five times over; all four, five times over.
    assert found.loc[("direct", "top"), "p"] == pytest.approx(2 * 0.5**5)
    assert found.loc[("cot", "top"), "p"] == pytest.approx(2 * 0.5**20)
    assert found.loc[("cot", "random"), "test"] == "paired bootstrap"
    # Two draws of random heads cannot show that all do harm.
    assert found.loc[("cot", "random"), ["p_least", "draws"]].to_list() == [0.5, 2]
    assert found["p"].isna().sum() == found["p_corrected"].isna().sum() == 4
    assert (found["p_corrected"].dropna() >= found["p"].dropna()).all()


def test_items_about_one_article_are_no_independent_items():
    judged = verdicts({"direct": {"none": "1" * 36, "top": "0" * 36}}).assign(task="extract_qa")
    judged["item"] = [f"article-{number % 6}-{number // 6 % 6}" for number in range(len(judged))]
    paired = Paired(with_units(judged))
    assert (paired.units, len(paired.plain)) == (6, 36)
    assert paired.p(("top", 2)) == ("sign flips", 2 / 2**6, 2 / 2**6)
    assert Paired(with_units(judged.assign(task="mmlu"))).p(("top", 2))[0] == "McNemar"


def test_enough_draws_give_a_p_that_is_never_below_what_they_can_tell():
    sets = {"none": "1" * 40, "top": "0" * 40, **{f"random-{draw}": "1" * 39 + "0" for draw in range(39)}}
    judged = verdicts({"direct": sets})
    row = contrasts(judged).iloc[0]
    assert (row["draws"], row["p"], row["p_least"]) == (39, 2 / 40, 2 / 40)
    few = contrasts(judged[~judged["head_set"].str.fullmatch(r"random-\d")]).iloc[0]
    assert (few["draws"], few["p_least"]) == (29, 2 / 30) and np.isnan(few["p"]) and few["ci_high"] > 90


def test_two_sizes_of_random_sets_are_resampled_apart():
    sets = {"none": "10" * 20, **{f"random-{draw}": "10" * 20 for draw in range(4)}}
    judged = verdicts({"direct": sets})
    judged["score"] = judged["head_set"].map({name: number / 10 for number, name in enumerate(sets)})
    larger = judged[judged["kind"] == "random"].assign(k=4, head_set=lambda rows: rows["head_set"] + "-4")
    paired = Paired(pd.concat([judged, larger]))
    assert not np.array_equal(paired.resampled(("random", 2)), paired.resampled(("random", 4)))


def test_scores_between_0_and_1_are_tested_by_item():
    judged = verdicts({"direct": {"none": "1" * 40, "top": "1" * 40}})
    judged.loc[judged["head_set"] == "top", "score"] = np.linspace(0.1, 0.9, 40)
    paired = Paired(judged)
    assert paired.p(("top", 2)) == ("sign flips", 1 / 10_000, 1 / 10_000)
    means = paired.resampled(("top", 2))
    # The standard error of a mean of 40 items.
    assert means.std() == pytest.approx(np.linspace(0.1, 0.9, 40).std() / 40**0.5, rel=0.05)


def test_bootstrap_p_has_a_floor_and_is_1_without_any_difference():
    assert bootstrap_p(np.zeros(99)) == 1
    assert bootstrap_p(np.full(99, -1.0)) == 2 / 100
    assert bootstrap_p(np.array([1.0] * 90 + [-1.0] * 9)) == pytest.approx(2 * 10 / 100)


def test_holm_runs_over_the_tests_of_each_model():
    rows = pd.DataFrame({"model": ["a", "a", "a", "b"], "p": [0.01, 0.04, np.nan, 0.04], "p_least": 0.001})
    assert corrected(rows)["p_corrected"].to_list() == pytest.approx([0.02, 0.04, np.nan, 0.04], nan_ok=True)
    unreachable = corrected(rows.drop(columns="p_corrected", errors="ignore").assign(p_least=0.03))["p_corrected"]
    assert unreachable.isna().to_list() == [True, True, True, False]


def test_contrasts_say_what_top_heads_and_reasoning_cost_more():
    found = contrasts(verdicts(repeat=10)).set_index(["comparison", "mode", "kind"])
    assert found["difference"].to_dict() == {
        ("top - random", "direct", "top"): 12.5,
        ("top - random", "cot", "top"): 87.5,
        ("cot - direct", "both", "top"): 75,
        ("cot - direct", "both", "random"): 0,
    }
    strong = found.loc[("top - random", "cot", "top")]
    assert 60 < strong["ci_low"] < 87.5 < strong["ci_high"] <= 100
    assert np.isnan(strong["p_corrected"]) and strong["p_least"] == 2 / 3
    whole = found.loc[("cot - direct", "both", "top")]
    assert whole["p_corrected"] < 0.01
    same = found.loc[("cot - direct", "both", "random")]
    # Random sets lose the same items in both forms.
    assert (same["ci_low"], same["ci_high"]) == (0, 0)


def test_forms_about_different_items_are_not_compared():
    judged = verdicts()
    judged.loc[(judged["mode"] == "cot") & (judged["item"] == "i3"), "item"] = "i9"
    with pytest.raises(TableError, match="t: direct and chain of thought were asked about different items"):
        contrasts(judged)


def test_tables_are_stacked_with_their_form_in_front():
    found = stacked([pd.DataFrame({"x": [1]}), pd.DataFrame({"x": [2]})], [{"model": "a"}, {"model": "b"}])
    assert found.to_dict("list") == {"model": ["a", "b"], "x": [1, 2]}


def test_sizes_choose_among_the_head_sets():
    info = {"heads_by_layer": {"0": [8, 2], "1": [8, 2]}}
    sets = [{"name": f"top-{k}", "kind": "top", "k": k, "seed": None, "heads": [[0, 1]] * k} for k in (2, 4)]
    assert [chosen["name"] for chosen in chosen_sets(sets, ["25%"], info)] == ["unmasked", "top-4"]
    assert len(chosen_sets(sets, [2, "25%"], info)) == 3
    with pytest.raises(SizeError, match=r"downstream\.sizes: there is no head set of 3; add it to head_sets\.sizes"):
        chosen_sets(sets, [3], info)
    masks = as_masks(chosen_sets(sets, [2], info), {"mode": "zero_query", "scope": "all", "unit": "head"})
    assert masks["unmasked"].heads == ()
    assert (masks["top-2"].heads, masks["top-2"].mode, masks["top-2"].scope) == (((0, 1),), "zero_query", "all")
