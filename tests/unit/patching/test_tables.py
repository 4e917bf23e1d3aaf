"""Restored shares by hand, and intervals that resample needles and draws."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from retrieval_heads.head_scores.intervals import stretch
from retrieval_heads.patching.measures import measure
from retrieval_heads.patching.tables import beside_masking, patched_curve, restored, with_shares


def row(kind: str, k: int, needle: str, difference: float, head_set: str | None = None, **more) -> dict:
    """A run in which the source's answer is `difference` nats above the other, which has -20."""
    own = {"direction": "denoising", "what": "outputs", "head_set": head_set or f"{kind}-{k}", "kind": kind, "k": k}
    own |= {"needle": needle, "length": 256, "depth": 0, "log_probability": difference - 20.0}
    return {**own, "other_log_probability": -20.0, "greedy": difference > 0, **more}


def study() -> pd.DataFrame:
    """Two cells, 10 and 30 nats apart: the top head restores 5 and 24 of them, of two random ones one 3 and none."""
    rows = []
    for needle, base, gap, top in (("a", -4.0, 10.0, 5.0), ("b", -10.0, 30.0, 24.0)):
        rows += [row("source", 0, needle, base + gap), row("none", 0, needle, base), row("top", 1, needle, base + top)]
        rows += [row("random", 1, needle, base + 3, "random-1-0"), row("random", 1, needle, base, "random-1-1")]
    return pd.DataFrame(rows)


def test_shares_of_cells_by_hand():
    shares = with_shares(study()).set_index(["needle", "head_set"])["share"]
    assert shares["a"].to_dict() == pytest.approx(
        {"source-0": 100, "none-0": 0, "top-1": 50, "random-1-0": 30, "random-1-1": 0}
    )
    assert shares["b", "top-1"] == pytest.approx(80)


def test_the_curve_is_a_ratio_of_means():
    curve = patched_curve(study(), draws=500).set_index("kind")
    assert curve.loc["top", "share"] == pytest.approx(100 * (5 + 24) / (10 + 30))
    assert curve.loc["random", "share"] == pytest.approx(100 * (3 + 3) / 2 / (10 + 30))
    assert (curve.loc["none", "share"], curve.loc["source", "share"]) == pytest.approx((0, 100))
    for end in ("none", "source"):
        assert curve.loc[end, "ci_low"] == curve.loc[end, "ci_high"] == pytest.approx(curve.loc[end, "share"])
    # Needles are resampled: all of one, all of the other.
    assert ends(curve.loc["top"], 2) == pytest.approx((50, 80))
    # Draws too: neither, or the one that restores 3 of 10 in the needle where that is most.
    assert ends(curve.loc["random"], 2) == pytest.approx((0, 30), abs=1e-6)
    assert curve["draws"].to_dict() == {"source": 1, "none": 1, "top": 1, "random": 2}
    assert (curve["cells"].eq(2) & curve["needles"].eq(2)).all()
    assert curve["greedy"].to_dict() == {"source": 100, "none": 0, "top": 100, "random": 0}


def ends(row: pd.Series, needles: int) -> tuple[float, float]:
    """The interval of `share` before it was stretched to the number of needles."""
    return tuple(row["share"] + (row[name] - row["share"]) / stretch(needles) for name in ("ci_low", "ci_high"))


def test_by_the_answer_alone():
    """The other answer falls by 10 nats in the source run alone: half of the difference is back, all of the answer."""
    rows = [row("none", 0, "a", 0.0), row("source", 0, "a", 10.0), row("top", 1, "a", 10.0)]
    rows[1]["other_log_probability"] -= 10
    curve = patched_curve(pd.DataFrame(rows)).set_index("kind")
    assert curve.loc["top", ["share", "ci_low", "ci_high"]].to_list() == pytest.approx([50] * 3)
    assert curve.loc["top", ["answer_share", "answer_low", "answer_high"]].to_list() == pytest.approx([100] * 3)


def test_where_the_source_is_no_better_there_is_nothing_to_restore():
    assert math.isnan(restored(1.0, 2.0, 2.0)) and math.isnan(restored(1.0, 2.0, 1.0))
    np.testing.assert_allclose(restored([1.0, 5.0], [0.0, 0.0], [2.0, 4.0]), [50, 125])
    flat = study().assign(log_probability=-20.0)
    assert patched_curve(flat)[["share", "ci_low", "ci_high"]].isna().all(axis=None)


def test_the_order_of_the_rows_changes_nothing():
    runs = study()
    mixed = runs.sample(frac=1, random_state=1)
    first, second = (patched_curve(one).set_index("kind").sort_index() for one in (runs, mixed))
    pd.testing.assert_frame_equal(first, second)


def test_masking_stands_beside():
    masked = pd.DataFrame(
        {"kind": ["none", "top", "random"], "k": [0, 1, 1], "success": [100.0, 7.0, 90.0], "ci_low": 1, "ci_high": 2}
    )
    found = beside_masking(patched_curve(study()), masked).set_index("kind")
    assert found["masked_success"].dropna().to_dict() == {"none": 100, "top": 7, "random": 90}
    assert len(found) == 4 and (found.loc["top", "masked_low"], found.loc["top", "masked_high"]) == (1, 2)


def test_measures_by_hand():
    logits = torch.tensor([[[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]], [[2.0, 1.0, 0.0], [3.0, 0.0, 0.0]]])
    first, second = measure(logits, [2, 0], [1, 2])
    norms = math.log(1 + math.e + math.e**2), math.log(math.e**3 + 2)
    assert first["log_probability"] == pytest.approx(2 - norms[0] + 3 - norms[1])
    assert first["other_log_probability"] == pytest.approx(1 - norms[0] - norms[1])
    assert (first["greedy"], second["greedy"]) == (True, False)
    # Their difference is that of the logits, whatever the others are.
    assert first["log_probability"] - first["other_log_probability"] == pytest.approx((2 - 1) + (3 - 0))
