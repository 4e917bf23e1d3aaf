"""The calibration passes exactly when what was planted was found, and says where it was not."""

from __future__ import annotations

import pandas as pd
import pytest

from retrieval_heads.reference_models.calibration import (
    CalibrationError,
    check_detection,
    check_masking,
    require_calibrated,
)

PLANTED = [(0, 1), (1, 0)]
GOOD = {(0, 0): [0.0, 0.1], (0, 1): [1.0, 1.0], (1, 0): [0.0, 0.3], (1, 1): [0.2, 0.0]}


def scores(heads: dict, length: int = 100, depth: int = 50) -> pd.DataFrame:
    """One row for each head and needle."""
    return pd.DataFrame(
        {
            "needle": f"n{n}",
            "length": length,
            "depth": depth,
            "layer": layer,
            "head": head,
            "copy_count": score,
        }
        for (layer, head), both in heads.items()
        for n, score in enumerate(both)
    )


def runs(unmasked: list[bool], planted: list[bool], others: list[bool], length: int = 100) -> pd.DataFrame:
    sets = {"unmasked": unmasked, "planted": planted, "others": others}
    return pd.DataFrame(
        {"head_set": name, "length": length, "depth": depth, "passed": passed}
        for name, cells in sets.items()
        for depth, passed in enumerate(cells)
    )


GOOD_RUNS = runs([True, True], [False, False], [True, True])


def test_a_head_is_found_by_its_mean_over_the_needles():
    # Means: (0, 0) .05, (0, 1) 1, (1, 0) .15, and (1, 1) exactly at the threshold, which is not above it.
    [row] = check_detection(scores(GOOD), PLANTED, 0.1).to_dict("records")
    assert row == {
        "length": 100,
        "depth": 50,
        "found": 2,
        "precision": 1.0,
        "recall": 1.0,
        "missed": "",
        "wrong": "",
    }


def test_precision_and_recall_are_separate_for_each_length_and_depth():
    wrong = GOOD | {(1, 1): [0.5, 0.0], (1, 0): [0.0, 0.0]}
    table = pd.concat([scores(GOOD), scores(wrong, depth=100), scores({**GOOD, (0, 0): [1.0, 1.0]}, length=200)])
    checked = check_detection(table, PLANTED, 0.1).set_index(["length", "depth"])
    assert checked["precision"].to_list() == [1.0, 0.5, pytest.approx(2 / 3)]
    assert checked["recall"].to_list() == [1.0, 0.5, 1.0]
    assert checked["missed"].to_list() == ["", "1-0", ""]
    assert checked["wrong"].to_list() == ["", "1-1", "0-0"]


def test_nothing_found_is_precision_zero():
    [row] = check_detection(scores({head: [0.0, 0.0] for head in GOOD}), PLANTED, 0.1).to_dict("records")
    assert (row["found"], row["precision"], row["recall"]) == (0, 0.0, 0.0)


def test_masking_is_percent_of_cells_for_each_set_and_length():
    table = pd.concat([runs([True, True], [False, True], [True, True]), runs([True], [False], [False], 200)])
    success = check_masking(table).set_index(["head_set", "length"])["success"].to_dict()
    assert success == {
        ("others", 100): 100,
        ("others", 200): 0,
        ("planted", 100): 50,
        ("planted", 200): 0,
        ("unmasked", 100): 100,
        ("unmasked", 200): 100,
    }


def test_a_calibrated_phantom_passes():
    require_calibrated(check_detection(scores(GOOD), PLANTED, 0.1), check_masking(GOOD_RUNS))


@pytest.mark.parametrize(
    ("heads", "masked", "message"),
    [
        (GOOD | {(0, 1): [0.0, 0.0]}, GOOD_RUNS, r"length 100, depth 50 %: .*recall 0.50 \(missed: 0-1"),
        (GOOD | {(1, 1): [1.0, 1.0]}, GOOD_RUNS, r"precision 0.67.*wrong: 1-1"),
        (GOOD, runs([True, True], [True, False], [True, True]), "planted: success 50 %, not 0 %"),
        (GOOD, runs([True, True], [False, False], [True, False]), "others: success 50 %, not 100 %"),
        (GOOD, runs([False, True], [False, False], [True, True]), "unmasked: success 50 %, not 100 %"),
        (GOOD, GOOD_RUNS[GOOD_RUNS["head_set"] != "planted"], "heads masked: planted: no such run"),
    ],
)
def test_what_was_not_measured_as_planted_is_named(heads, masked, message):
    with pytest.raises(CalibrationError, match=message):
        require_calibrated(check_detection(scores(heads), PLANTED, 0.1), check_masking(masked))


def test_no_measurement_is_no_calibration():
    empty = scores(GOOD).iloc[:0]
    with pytest.raises(CalibrationError, match="no cell was measured"):
        require_calibrated(check_detection(empty, PLANTED, 0.1), check_masking(GOOD_RUNS))
