"""Numbers as a reader wants them, and how many needles would narrow an interval."""

from __future__ import annotations

import math

import pytest

from retrieval_heads.analysis.in_words import needles_to_part, number, with_interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (100.0, "100"),
        (96.6667, "96.7"),
        (99.96, "100"),
        (-91.94, "−91.9"),
        (0.031251, "0.0313"),
        (0.0000123, "0.0000123"),
        (1234.5, "1234"),
        (6, "6"),
    ],
)
def test_three_digits_without_an_exponent(value, text):
    assert number(value) == text


def test_an_interval_stands_behind_its_number():
    assert with_interval({"share": 6.667, "ci_low": 5.0, "ci_high": 8.04}, "share", " %") == "6.67 % [5, 8.04]"
    assert with_interval({"share": 6.667, "ci_low": math.nan, "ci_high": math.nan}, "share") == "6.67"


def row(value: float, low: float, high: float, needles: float) -> dict:
    return {"value": value, "ci_low": low, "ci_high": high, "needles": needles}


def test_an_interval_that_leaves_the_reference_out_wants_nothing():
    assert needles_to_part(row(0.8, 0.7, 0.9, 3), 0.1) == ""
    assert needles_to_part(row(0.8, math.nan, math.nan, 3), 0.1) == ""


def test_half_the_width_wants_four_times_the_needles():
    # Twice as far to the end as to the reference: four times as many, and one more so that it is out.
    assert needles_to_part(row(0.2, 0.0, 0.5, 3), 0.1).startswith("the interval holds 0.1: about 13 needles (now 3)")
    assert needles_to_part(row(3.0, 0.0, 7.0, 3), 5.0).startswith("the interval holds 5: about 13 needles (now 3)")


def test_what_no_number_of_needles_is_known_to_part():
    assert "more than 100 needles" in needles_to_part(row(0.1, 0.0, 0.5, 3), 0.1)
    assert "six needles or more" in needles_to_part(row(0.2, 0.0, 0.5, 1), 0.1)
    assert "cells that name theirs" in needles_to_part(row(0.2, 0.0, 0.5, 0), 0.1)
