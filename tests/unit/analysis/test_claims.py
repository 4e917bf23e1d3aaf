"""Each claim takes the number that decides it, and says so where there is none."""

from __future__ import annotations

import pandas as pd
import pytest

from retrieval_heads.analysis.claims import claims

SCORES = pd.DataFrame(
    {
        "model": ["a"] * 4 + ["b"] * 4,
        "layer": [0, 0, 1, 1] * 2,
        "head": [0, 1] * 4,
        "score": [0.0, 0.9, 0.2, 0.0, 0.0, 0.8, 0.0, 0.0],
        "ci_low": [0.0, 0.7, 0.1, 0.0, 0.0, 0.6, 0.0, 0.0],
        "ci_high": [0.0, 1.0, 0.3, 0.1, 0.0, 0.9, 0.0, 0.0],
        "activation_frequency": [0.0, 1.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0],
        "needles": 3,
        "resampled": "needles, then cells",
    }
)
SWEEP = pd.DataFrame(
    {
        "model": ["a", "a", "b", "b"],
        "threshold": [0.1, 0.3] * 2,
        "heads": [2, 1, 1, 1],
        "share": [50.0, 25.0, 25.0, 25.0],
        "ci_low": 20.0,
        "ci_high": 60.0,
        "resampled": "needles, then cells",
    }
)
AGREEMENT = pd.DataFrame({"model_a": ["a", "b", "a"], "model_b": ["a", "b", "b"], "pearson": [0.99, 0.98, 0.6]})
CURVE = pd.DataFrame(
    {
        "model": "a",
        "kind": ["none", "top", "top", "random"],
        "k": [0, 2, 5, 5],
        "success": [100.0, 60.0, 10.0, 95.0],
        "ci_low": [90.0, 50.0, 0.0, 80.0],
        "ci_high": [100.0, 70.0, 20.0, 99.0],
        "needles": 6,
        "draws": [1, 1, 1, 10],
    }
)

# Neither the other direction nor the other kind may be taken.
PATCHED = pd.DataFrame(
    {
        "model": "a",
        "direction": ["denoising", "denoising", "denoising", "noising", "denoising"],
        "what": ["outputs", "outputs", "outputs", "outputs", "weights"],
        "kind": ["top", "top", "random", "top", "top"],
        "k": [2, 5, 5, 4, 4],
        "share": [70.0, 90.0, 3.0, 11.0, 12.0],
        "ci_low": [60.0, 80.0, -2.0, 1.0, 2.0],
        "ci_high": [75.0, 95.0, 5.0, 21.0, 22.0],
        "needles": 8,
    }
)
CONTRAST = pd.DataFrame(
    {
        "model": "a",
        "k": [2, 5],
        "difference": [-20.0, -85.0],
        "ci_low": -90.0,
        "ci_high": -5.0,
        "needles": 6,
        "draws": 10,
        "draws_as_low": [1, 0],
        "p_draws_corrected": float("nan"),
        "p_needles": 0.03125,
    }
)


@pytest.fixture
def found() -> pd.DataFrame:
    settings = {"families": {"a": "x", "b": "x"}, "threshold": 0.1, "k": 4}
    return claims(SCORES, SWEEP, AGREEMENT, CURVE, CONTRAST, patched=PATCHED, **settings).assign(
        short=lambda table: table["claim"].str.split(":").str[0]
    )


@pytest.mark.parametrize(
    ("claim", "value", "against"),
    [
        ("universal", 0.9, 0.1),
        ("sparse", 50, 5),
        ("intrinsic", 0.6, None),
        ("dynamic", 50, 75),
        ("causal", 10, 95),
        ("sufficient", 90, 3),
    ],
)
def test_the_number_that_decides(found, claim, value, against):
    row = found[(found["model"] == "a") & (found["short"] == claim)].iloc[0]
    assert row["value"] == pytest.approx(value)
    assert row["against_value"] == pytest.approx(against) if against else pd.isna(row["against_value"])


def test_every_model_has_six_claims(found):
    assert found.groupby("model")["short"].nunique().to_dict() == {"a": 6, "b": 6}


def test_what_cannot_be_decided_says_so():
    lone = claims(SCORES, SWEEP, AGREEMENT, None, None, families={"a": "x", "b": "y"}, threshold=0.1, k=4)
    undecided = lone[lone["measure"].str.startswith("not decided")]
    assert set(undecided["claim"].str.split(":").str[0]) == {"intrinsic", "causal", "sufficient"}
    assert undecided["value"].isna().all()
    wanted = undecided[undecided["model"] == "a"].set_index("claim")["to_decide"]
    assert [text.split(",")[0] for text in wanted] == [
        "a model of the same `family` with 2 layers of 2 heads",
        "a checkpoint to mask heads in (config `models`)",
        "patched runs (config `patched`)",
    ]


def test_masked_sets_that_were_given_decide_nothing_about_the_top_heads():
    given = CURVE[CURVE["kind"] == "none"]
    table = claims(SCORES, SWEEP, AGREEMENT, given, None, families={"a": "x", "b": "y"}, threshold=0.1, k=4)
    row = table[(table["model"] == "a") & table["claim"].str.startswith("causal")].iloc[0]
    assert row["measure"] == "not decided: no runs with its top heads masked"


def test_a_relative_of_another_shape_is_named():
    apart = AGREEMENT.assign(pearson=[0.99, 0.98, float("nan")])
    found = claims(SCORES, SWEEP, apart, None, None, families={"a": "x", "b": "x"}, threshold=0.1, k=4)
    measures = found.loc[found["claim"].str.startswith("intrinsic"), "measure"].to_list()
    assert measures == ["not decided: b: other layers or heads", "not decided: a: other layers or heads"]


def test_the_numbers_stand_in_the_sentences(found):
    words = found[found["model"] == "a"].groupby("short", sort=False)["in_words"].agg(" ".join)
    assert words["universal"] == (
        "The best of 4 heads, 0-1 (layer-head, from 0), has a mean score of 0.9 [0.7, 1]; above 0.1 a head counts as a "
        "retrieval head."
    )
    assert words["sparse"] == "2 of 4 heads (50 % [20, 60]) score above 0.1; the paper finds less than 5 %."
    assert words["intrinsic"] == (
        "The heads' mean scores correlate with those of b at r = 0.6; no model of another family has the same layers "
        "and heads."
    )
    assert words["dynamic"].startswith("1 of 2 retrieval heads (50 % [9.45, 90.5]) score above 0 in every cell")
    assert words["causal"] == (
        "Masking the top 5 of 4 heads takes success from 100 % [90, 100] to 10 % [0, 20]; as many random heads, "
        "10 draws, leave 95 % [80, 99]. The difference is −85 points [−90, −5]; 0 of 10 random draws leave as little "
        "as the top heads."
    )
    assert words["sufficient"].startswith("The outputs of the top 5 heads alone restore 90 % [80, 95]")


def test_what_would_decide_an_open_claim_is_a_number_of_needles_and_draws(found):
    wanted = found[found["model"] == "a"].set_index("measure")["to_decide"]
    assert wanted["% of heads above 0.1"] == ""
    assert wanted["score of its best head, 0-1"] == ""
    # Holm over two sizes: 2 / (1 + 39) is 0.05.
    assert wanted.filter(like="the same less")[0:1].item() == "for a test over draws: 39 `random_draws` (now 10)"
    few = CONTRAST.assign(ci_high=5.0, p_needles=float("nan"), needles=3)
    settings = {"families": {"a": "x", "b": "x"}, "threshold": 0.1, "k": 4}
    open_row = claims(SCORES, SWEEP, AGREEMENT, CURVE, few, **settings).set_index("measure")["to_decide"]
    text = open_row.filter(like="the same less")[0:1].item()
    assert text.startswith("the interval holds 0: about 5 needles (now 3)")
    assert "for a test over needles: 6 of them (now 3)" in text


def test_the_intervals_are_those_of_the_tables(found):
    causal = found[(found["model"] == "a") & (found["short"] == "causal")].iloc[0]
    assert (causal["ci_low"], causal["ci_high"]) == (0.0, 20.0)


def test_every_interval_says_on_how_many_needles_it_rests(found):
    rows = found[(found["model"] == "a") & found["ci_low"].notna()]
    assert rows.set_index("short")["needles"].dropna().to_list() == [3, 3, 6, 6, 8]
    assert rows.loc[rows["needles"].isna(), "interval"].to_list() == ["heads (Wilson)"]


@pytest.mark.parametrize(("score", "said"), [(0.0, "no score is above 0"), (0.05, "score of its best head, 0-0")])
def test_a_model_without_retrieval_heads_is_said_to_have_none(score, said):
    empty = claims(
        SCORES.assign(score=score), SWEEP, AGREEMENT, None, None, families={"a": "x", "b": "y"}, threshold=0.1, k=4
    )
    first, *_ = empty.loc[empty["claim"].str.startswith("universal"), "measure"]
    assert first == f"no retrieval head was found: {said}"
    dynamic = empty.loc[empty["claim"].str.startswith("dynamic"), "measure"]
    assert set(dynamic) == {"not decided: no retrieval head was found"}


def test_masking_is_weighed_against_as_many_random_heads(found):
    weighed = found[(found["model"] == "a") & (found["short"] == "causal")].iloc[1]
    assert weighed[["value", "ci_low", "ci_high", "against_value"]].to_list() == [-85, -90, -5, 0]
