"""Needles taken from the table of an earlier run."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from retrieval_heads.prompts.needle_selection import EarlierRunError, answered, with_names

CELLS = [("kite", True), ("kite", True), ("soup", True), ("soup", False), ("rule", False), ("rule", False)]


@pytest.fixture
def table(tmp_path) -> str:
    path = tmp_path / "cells.tsv"
    pd.DataFrame(CELLS, columns=["needle", "passed"]).to_csv(path, sep="\t", index=False)
    return str(path)


@pytest.mark.parametrize(
    ("share", "needles"), [(1, ["kite"]), (0.5, ["kite", "soup"]), (0, ["kite", "soup", "rule"]), (0.51, ["kite"])]
)
def test_needles_that_passed_in_a_share_of_their_cells(table, share, needles):
    assert answered({"table": table, "share": share}, str, "detection.needles") == needles


def test_of_masked_runs_the_unmasked_ones_count(tmp_path):
    rows = [("unmasked", "kite", True), ("top-5", "kite", False), ("unmasked", "soup", False), ("top-5", "soup", True)]
    path = tmp_path / "runs.tsv"
    pd.DataFrame(rows, columns=["head_set", "needle", "passed"]).to_csv(path, sep="\t", index=False)
    assert answered({"table": str(path)}, str, "masked.needles") == ["kite"]


def test_a_config_gets_the_names_and_stays_otherwise_as_it_is(table):
    config = {"needles": "needles.tsv", "detection": {"needles": {"table": table}, "lengths": [1]}, "masked": {}}
    found = with_names({**config, "calibration": {"needles": ["soup"]}}, str)
    assert found["detection"] == {"needles": ["kite"], "lengths": [1]}
    assert (found["needles"], found["masked"], found["calibration"]) == ("needles.tsv", {}, {"needles": ["soup"]})
    assert config["detection"]["needles"] == {"table": table}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"tabel": "x"}, "detection.needles: unknown key 'tabel'"),
        ({"share": 0.5}, "detection.needles: the key 'table' is missing"),
        ({"table": "T", "share": 50}, "detection.needles.share: 50 is no share; give a number from 0 to 1"),
        ({"table": "no.tsv"}, "detection.needles.table: there is no 'no.tsv'; run that sweep first"),
        ({"table": "EMPTY"}, "has no rows with `needle` and `passed`; give a cells.tsv or runs.tsv of a study"),
        ({"table": "FAILED"}, "passed in 100% of its cells, the best in 50%"),
    ],
)
def test_a_fault_names_the_key_and_the_remedy(table, tmp_path, wanted, message):
    (tmp_path / "EMPTY").write_text("layer\thead\n1\t2\n")
    (tmp_path / "FAILED").write_text("needle\tpassed\nrule\tFalse\nrule\tTrue\n")
    folder = {"T": table, "EMPTY": str(tmp_path / "EMPTY"), "FAILED": str(tmp_path / "FAILED")}
    with pytest.raises(EarlierRunError, match=re.escape(message)):
        answered(wanted, lambda path: str(Path(folder.get(path, path))), "detection.needles")
