"""The needles of published cells, told apart by their scores."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval_heads.head_scores.formats.needle_blocks import needle_blocks


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


def test_a_cell_of_zeros_goes_to_the_needle_before_it():
    assert needle_blocks(cells(0, 20, 0, 19))["needle"].to_list() == ["20 tokens"] * 3 + ["19 tokens"]


@pytest.mark.parametrize("scores", [cells(20, 29, 20), cells(0, 0), cells(20, 991), np.full((2, 1, 1), np.pi / 4)])
def test_scores_that_do_not_tell(scores):
    assert needle_blocks(scores) is None
