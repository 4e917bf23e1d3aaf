"""Scores against examples worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval_heads.detection.scores import copy_hits, copy_scores, score_table, step_table
from retrieval_heads.prompts.cells import Cell
from retrieval_heads.prompts.recall import rouge1_recall

# Positions:  0  1   2   3   4   5   6; the answer is [2, 6): 30 31 30 32, three distinct tokens in four.
PROMPT = (9, 20, 30, 31, 30, 32, 40)
SPAN = (2, 6)
EMITTED = [30, 31, 30, 50]


def one_head(*positions: int) -> np.ndarray:
    """Positions attended to at each step by a model's only head: [steps, 1, 1]."""
    return np.array(positions)[:, None, None]


def scores_of(*positions: int) -> dict[str, float]:
    found = copy_scores(one_head(*positions), EMITTED, PROMPT, SPAN)
    return {name: float(score[0, 0]) for name, score in found.items()}


def test_each_position_copied_once():
    assert scores_of(2, 3, 4, 0) == {"copy_set": 2 / 3, "copy_count": 3 / 4, "copy_position": 3 / 4}


def test_repeats_count_in_copy_count_only():
    assert scores_of(2, 3, 2, 0) == {"copy_set": 2 / 3, "copy_count": 3 / 4, "copy_position": 2 / 4}


def test_looking_at_the_answer_without_emitting_the_token_is_no_copy():
    assert scores_of(3, 2, 5, 5) == {"copy_set": 0, "copy_count": 0, "copy_position": 0}


def test_the_same_token_outside_the_answer_is_no_copy():
    outside = (30, *PROMPT[1:])
    hits = copy_hits(one_head(0, 3, 4, 7), EMITTED, outside, SPAN)
    assert hits[:, 0, 0].tolist() == [False, True, True, False]


def test_copy_count_can_pass_one():
    emitted = [30] * 6
    found = copy_scores(one_head(2, 2, 2, 4, 4, 2), emitted, PROMPT, SPAN)
    assert found["copy_count"][0, 0] == 6 / 4
    assert found["copy_set"][0, 0] == 1 / 3


def test_heads_that_do_not_exist_have_no_rows():
    argmax = np.array([[[2, -1], [-1, -1], [3, 0]]])
    found = copy_scores(argmax, [30], PROMPT, SPAN)
    table = score_table(found)
    assert list(zip(table["layer"], table["head"], strict=True)) == [(0, 0), (2, 0), (2, 1)]
    assert table["copy_count"].tolist() == [0.25, 0, 0]


def test_step_table_classes():
    cell = Cell("n", "h", 7, 50, 1, 5, 2, 5, 5, 7)
    argmax = np.array([[[0, 1, 3]], [[6, 7, -1]]])
    mass = np.full((2, 1, 3), 0.25)
    table = step_table(cell, argmax, mass, [31, 50], PROMPT)
    assert table["target_class"].tolist() == ["first token", "needle", "needle", "question", "generated"]
    assert table["hit"].tolist() == [False, False, True, False, False]
    assert table[["step", "layer", "head"]].to_numpy().tolist() == [
        [0, 0, 0],
        [0, 0, 1],
        [0, 0, 2],
        [1, 0, 0],
        [1, 0, 1],
    ]
    assert set(table["needle"]) == {"n"} and set(table["depth"]) == {50}


def test_target_other_between_first_token_and_needle():
    cell = Cell("n", "h", 7, 50, 3, 5, 3, 5, 6, 7)
    table = step_table(cell, one_head(1), np.zeros((1, 1, 1)), [0], PROMPT)
    assert table["target_class"].tolist() == ["other"]


@pytest.mark.parametrize(
    ("answer", "response", "recall"),
    [
        ("fly a paper kite", "Fly a paper kite.", 100),
        ("fly a paper kite", "papers, kites", 50),
        ("fly a paper kite", "eat", 0),
        ("fly a paper kite", "", 0),
    ],
)
def test_rouge1_recall_in_percent_with_stemming(answer, response, recall):
    assert rouge1_recall(answer, response) == pytest.approx(recall)
