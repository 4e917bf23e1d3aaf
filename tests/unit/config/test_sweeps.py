"""Sweeps spelt out as lists, and refused with the key and the remedy."""

from __future__ import annotations

import pytest

from retrieval_heads.config.sweeps import SweepError, spelt_out, values


def test_the_grid_of_the_paper():
    """20 lengths evenly spaced over 1,000..50,000 and 10 depths, as in Wu et al. 2024."""
    lengths = values({"min": 1000, "max": 50000, "intervals": 20}, "detection.lengths")
    assert lengths[:3] == [1000, 3579, 6158] and lengths[-1] == 50000 and len(lengths) == 20
    depths = values({"min": 0, "max": 100, "intervals": 10}, "detection.depths")
    assert depths == [0, 11, 22, 33, 44, 56, 67, 78, 89, 100]


def test_a_sigmoid_is_denser_at_both_ends():
    """1 / (1 + exp(-0.1 (x - 50))) at 25, 50 and 75 percent: 7.6, 50, 92.4."""
    sweep = {"min": 0, "max": 100, "intervals": 5, "spacing": "sigmoid"}
    assert values(sweep, "detection.depths") == [0, 8, 50, 92, 100]


def test_values_that_round_to_the_same_number_stand_once():
    assert values({"min": 1, "max": 3, "intervals": 9}, "masked.depths") == [1, 2, 3]


def test_every_part_and_every_model_may_have_a_sweep():
    sweep = {"min": 100, "max": 300, "intervals": 3}
    full = spelt_out(
        {
            "masked": {"lengths": sweep, "depths": [0]},
            "models": {"a": {"lengths": sweep}, "b": {"path": "x"}},
            "needles": "t",
        }
    )
    assert full["masked"] == {"lengths": [100, 200, 300], "depths": [0]}
    assert full["models"] == {"a": {"lengths": [100, 200, 300]}, "b": {"path": "x"}}
    assert full["needles"] == "t"


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"min": 1, "max": 5}, "masked.lengths: the key 'intervals' is missing"),
        ({"min": 1, "max": 5, "step": 2, "intervals": 2}, "masked.lengths: unknown key 'step'"),
        ({"min": 5, "max": 1, "intervals": 2}, "min 5, max 1, intervals 2 are no sweep"),
        ({"min": 1, "max": 5, "intervals": 1}, "intervals 1 are no sweep"),
        ({"min": 1, "max": 5, "intervals": 2, "spacing": "log"}, "masked.lengths.spacing: 'log' is unknown"),
    ],
)
def test_a_faulty_sweep_names_the_key(sweep, message):
    with pytest.raises(SweepError, match=message):
        values(sweep, "masked.lengths")
