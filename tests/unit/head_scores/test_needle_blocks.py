"""The needles of published cells, told apart by their scores."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval_heads.analysis.reliability import needle_counts
from retrieval_heads.head_scores.formats.needle_blocks import needle_blocks
from retrieval_heads.head_scores.intervals import UNKNOWN
from retrieval_heads.head_scores.ranking import rank_heads
from retrieval_heads.head_scores.scores import HeadScores


def cells(*lengths: int) -> np.ndarray:
    """One cell of 3 x 50 heads for each length: multiples of 1 / length, all zero for length 0."""
    generator = np.random.default_rng(0)
    counts = [generator.integers(0, length + 1, (3, 50)) / max(length, 1) for length in lengths]
    return np.array(counts)


def test_cells_in_a_row_with_one_denominator_are_one_needle():
    found = needle_blocks(cells(29, 29, 20, 20, 20, 21))
    assert found["needle"].to_list() == ["29 tokens"] * 2 + ["20 tokens"] * 3 + ["21 tokens"]


def test_six_decimals_are_enough():
    assert needle_blocks(cells(29, 128).round(6))["needle"].to_list() == ["29 tokens", "128 tokens"]


def test_cells_of_zeros_belong_to_the_needle_around_them():
    found = needle_blocks(cells(0, 20, 0, 20, 19, 17, 0))["needle"].to_list()
    assert found == ["20 tokens"] * 4 + ["19 tokens"] + ["17 tokens"] * 2


def test_zeros_between_two_needles_go_where_all_needles_have_equally_many_cells():
    found = needle_blocks(cells(*[26] * 20, *[17] * 20, 0, *[19] * 19))["needle"]
    assert found.value_counts(sort=False).to_dict() == {"26 tokens": 20, "17 tokens": 20, "19 tokens": 20}


def test_zeros_that_may_be_of_either_needle_are_of_an_unknown_one():
    assert needle_blocks(cells(20, 20, 20, 0, 19))["needle"].to_list() == ["20 tokens"] * 3 + [UNKNOWN, "19 tokens"]
    # So many of them may be a needle of their own.
    found = needle_blocks(cells(20, 20, 0, 0, 19, 19))["needle"]
    assert found.to_list() == ["20 tokens"] * 2 + [UNKNOWN] * 2 + ["19 tokens"] * 2
    # The released detection goes through three needles: here one may follow.
    assert needle_blocks(cells(20, 20, 20, 19, 0))["needle"].to_list()[-1] == UNKNOWN


def test_one_cell_of_halves_makes_no_needle_of_its_own():
    """All scores of a cell of a needle of 20 tokens may be halves or tenths."""
    assert needle_blocks(cells(20, 20, 2, 20, 10, 0, 20))["needle"].to_list() == ["20 tokens"] * 7
    assert needle_blocks(cells(20, 2, 10, 20, 19))["needle"].to_list() == ["20 tokens"] * 4 + ["19 tokens"]
    assert needle_blocks(cells(20, 20, 10, 19))["needle"].to_list() == ["20 tokens"] * 2 + [UNKNOWN, "19 tokens"]
    # Of six cells each needle has three, and tenths are none of 19 tokens.
    halves = needle_blocks(cells(20, 20, 10, 19, 19, 19))["needle"]
    assert halves.to_list() == ["20 tokens"] * 3 + ["19 tokens"] * 3


def test_several_cells_of_a_divisor_are_a_needle():
    found = needle_blocks(cells(20, 20, 10, 10, 19, 19))["needle"]
    assert found.to_list() == ["20 tokens"] * 2 + ["10 tokens"] * 2 + ["19 tokens"] * 2
    assert needle_blocks(cells(20, 20, 10, 10, 20, 20)) is None


def test_cells_of_an_unknown_needle_make_no_needle():
    scores = cells(20, 20, 20, 0, 19)
    head_scores = HeadScores(scores, needle_blocks(scores))
    ranked = rank_heads(head_scores, draws=50)
    assert (ranked["needles"] == 2).all() and (ranked["cells"] == 5).all()
    counts = needle_counts(head_scores.flat, head_scores.needles, 0.1)
    assert counts["needle"].to_list() == ["20 tokens", "19 tokens", "all", "any"]
    assert head_scores.resampled == "needles, then cells"


@pytest.mark.parametrize("scores", [cells(20, 29, 20), cells(0, 0), cells(20, 991), np.full((2, 1, 1), np.pi / 4)])
def test_scores_that_do_not_tell(scores):
    assert needle_blocks(scores) is None
