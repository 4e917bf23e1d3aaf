"""Cells as JSON lines."""

from __future__ import annotations

import json
from io import StringIO

import pandas as pd

from retrieval_heads.archive.json_lines import records

CELL = {"needle": "kite", "haystack": "town", "length": 256, "depth": 50}
SPANS = {"needle_start": 90, "needle_end": 120, "answer_start": 100, "answer_end": 118}
PLACED = {**CELL, **SPANS, "question_start": 192, "prompt_tokens": 230}


def read_back(rows: list[dict]) -> pd.DataFrame:
    """As a script reads a table that another one wrote."""
    text = pd.DataFrame(rows).to_csv(sep="\t", index=False)
    return pd.read_csv(StringIO(text), sep="\t", keep_default_na=False)


def test_a_detected_cell():
    found = {"response": "NA", "rouge1_recall": 0.0, "passed": False}
    searched = {**PLACED, **found, "answer_start": -1, "answer_end": -1}
    [line] = records("organism", read_back([searched]), read_back([PLACED]))
    assert json.loads(line) == {
        "model": "organism",
        **CELL,
        "response": "NA",
        "score": 0.0,
        "passed": False,
        "spans": {"needle": [90, 120], "answer": [-1, -1], "question": [192, 230]},
    }


def test_a_masked_cell_takes_its_spans_from_the_placement():
    answer = {"response": "flügge Drachen", "rouge1_recall": 62.5, "passed": True, "machine": "abc"}
    sets = [
        {"head_set": "unmasked", "kind": "none", "k": 0, "seed": None},
        {"head_set": "random-2-1", "kind": "random", "k": 2, "seed": 1},
    ]
    runs = [{**one, **CELL, **answer} for one in sets]
    lines = list(records("organism", read_back(runs), read_back([{**PLACED, "depth": 0}, PLACED])))
    for line, one in zip(lines, sets, strict=True):
        row = json.loads(line)
        assert {key: row[key] for key in one} == one
        assert row["spans"] == {"needle": [90, 120], "answer": [100, 118], "question": [192, 230]}
        assert (row["response"], row["score"], row["passed"]) == ("flügge Drachen", 62.5, True)
    assert "flügge" in lines[0]
