"""The format of this workflow: the released one and a sidecar, which is read with it and refused where it is broken."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from retrieval_heads.head_scores.formats import own
from retrieval_heads.head_scores.formats.registry import read
from retrieval_heads.head_scores.scores import HeadScoreError, HeadScores, as_columns, sidecar, write_scores

# Two cells, two layers, two heads that share one KV head.
SCORES = np.array([[[0.0, 0.5], [1.0, 0.0]], [[0.0, 0.25], [1.5, 0.0]]])
CELLS = pd.DataFrame({"needle": ["a", "b"], "length": [100, 100], "depth": [0, 50]})
HEAD_SCORES = HeadScores(SCORES, CELLS, {0: (2, 1), 1: (2, 1)})


def test_our_own_file_knows_its_cells_and_groups(tmp_path):
    file = tmp_path / "model.json"
    write_scores(file, HEAD_SCORES, {"model": "one"})
    found = read(file, "own")
    assert np.array_equal(found.scores, SCORES) and not found.averaged
    pd.testing.assert_frame_equal(found.cells, CELLS)
    pd.testing.assert_frame_equal(found.index, HEAD_SCORES.index)
    meta = json.loads(sidecar(file).read_text(encoding="utf-8"))
    assert (meta["model"], meta["successful_cells"], meta["empty_cells"]) == ("one", 2, 0)


def test_our_own_file_without_groups_and_cells(tmp_path):
    file = tmp_path / "model.json"
    write_scores(file, HeadScores(SCORES[:1], averaged=True), {})
    found = read(file, "own")
    assert found.averaged and found.cells is None and found.index["kv_group"].isna().all()


SIDECARS = [
    *[(key, None, f"the key '{key}' is missing") for key in own.KEYS],
    ("heads_by_layer", {"0": [2, 1], "7": [2, 1]}, "'heads_by_layer' does not fit the 2 layers x 2 heads"),
    ("heads_by_layer", {"0": [2, 0]}, "'heads_by_layer' does not fit"),
    ("heads_by_layer", {"0": [3, 1]}, "'heads_by_layer' does not fit"),
    ("heads_by_layer", {"first": [2, 1]}, "'heads_by_layer' does not fit"),
    ("heads_by_layer", {"0": ["2", 1]}, "'heads_by_layer' does not fit"),
    ("heads_by_layer", {}, "'heads_by_layer' does not fit"),
    ("cells_in_order", [1, 2], "'cells_in_order' is no list of cells"),
    ("cells_in_order", [{"length": 1}] * 2, "'cells_in_order' is no list of cells"),
    ("heads_by_layer", {"0": [2, 1]}, "'heads_by_layer' leaves out a head that scores"),
    ("heads_by_layer", {"0": [1, 1], "1": [1, 1]}, "'heads_by_layer' leaves out a head that scores"),
    ("heads_by_layer", {"0": [2, 1], "1": [2, 1], "00": [1, 1]}, "'heads_by_layer' does not fit"),
    ("heads_by_layer", {"0": [2.0, 1], "1": [2, 1]}, "'heads_by_layer' does not fit"),
    ("heads_by_layer", {"0": [2, True], "1": [2, 1]}, "'heads_by_layer' does not fit"),
    ("cells_in_order", [{"needle": ["a"]}] * 2, "'cells_in_order' is no list of cells"),
    ("cells_in_order", [{"needle": "a", "length": "100"}] * 2, "'cells_in_order' is no list of cells"),
    ("averaged", "false", "'averaged' is neither true nor false"),
    ("successful_cells", "2", "its sidecar has 2"),
]


@pytest.mark.parametrize(("key", "value", "message"), SIDECARS)
def test_a_broken_sidecar_is_refused_with_its_reason(tmp_path, key, value, message):
    file = tmp_path / "model.json"
    write_scores(file, HEAD_SCORES, {})
    meta = json.loads(sidecar(file).read_text(encoding="utf-8"))
    meta.pop(key)
    sidecar(file).write_text(json.dumps(meta if value is None else meta | {key: value}), encoding="utf-8")
    with pytest.raises(HeadScoreError, match=message) as refused:
        read(file, "own")
    assert str(tmp_path) in str(refused.value)


def test_a_layer_without_heads_needs_no_entry(tmp_path):
    file = tmp_path / "model.json"
    write_scores(file, HeadScores(SCORES * [[[0], [1]]], CELLS, {1: (2, 1)}), {})
    assert read(file, "own").index["layer"].to_list() == [1, 1]


def test_a_sidecar_of_another_file_is_refused(tmp_path):
    file = tmp_path / "model.json"
    write_scores(file, HEAD_SCORES, {})
    file.write_text(json.dumps(as_columns(HeadScores(SCORES[:1]))), encoding="utf-8")
    with pytest.raises(HeadScoreError, match="1 cells, but its sidecar has 2"):
        read(file, "own")
