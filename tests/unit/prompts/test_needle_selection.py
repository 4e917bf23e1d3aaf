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


def test_a_share_is_compared_exactly(tmp_path):
    path = tmp_path / "cells.tsv"
    path.write_text("needle\tpassed\n" + "kite\tTrue\n" * 7 + "kite\tFalse\n" * 18)
    assert answered({"table": str(path), "share": 0.28}, str, "masked.needles") == ["kite"]
    with pytest.raises(EarlierRunError, match=r"passed in 28\.01% of its cells, the best in 28%"):
        answered({"table": str(path), "share": 0.2801}, str, "masked.needles")


@pytest.mark.parametrize(("yes", "no"), [("TRUE", "FALSE"), ("true", "false"), ("1", "0")])
def test_truth_values_and_byte_order_marks_of_other_programs_are_read(tmp_path, yes, no):
    path = tmp_path / "cells.tsv"
    rows = f'needle\tresponse\tpassed\nkite\t"two\nlines"\t{yes}\nsoup\tone\t{no}\n'
    path.write_bytes(f"\ufeff{rows}".replace("\n", "\r\n").encode())
    assert answered({"table": str(path)}, str, "masked.needles") == ["kite"]


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
        ({"table": "LATIN"}, "is not UTF-8 (byte 15 is 0xef)"),
        ({"table": "UTF16"}, "is not UTF-8 (byte 1 is 0xff)"),
        ({"table": "ODD"}, "detection.needles.table: 'ODD' says 'perhaps' under `passed`; write True or False there"),
        ({"table": "FAILED"}, "passed in 100% of its cells, the best in 50%"),
    ],
)
def test_a_fault_names_the_key_and_the_remedy(table, tmp_path, wanted, message):
    (tmp_path / "EMPTY").write_text("layer\thead\n1\t2\n")
    (tmp_path / "FAILED").write_text("needle\tpassed\nrule\tFalse\nrule\tTrue\n")
    (tmp_path / "ODD").write_text("needle\tpassed\nrule\tperhaps\n")
    (tmp_path / "LATIN").write_text("needle\tpassed\nïle\tTrue\n", encoding="latin-1")
    (tmp_path / "UTF16").write_text("needle\tpassed\nrule\tTrue\n", encoding="utf-16")
    folder = {"T": table, **{path.name: str(path) for path in tmp_path.iterdir()}}
    with pytest.raises(EarlierRunError, match=re.escape(message)):
        answered(wanted, lambda path: str(Path(folder.get(path, path))), "detection.needles")
