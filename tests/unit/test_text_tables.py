"""Text that a model wrote comes back from a table, whatever characters it holds."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pandas as pd
import pytest

from retrieval_heads.prompts.needle_selection import answered
from retrieval_heads.text_tables import read_table, write_table

LINE_ENDS = ["\r", "\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
ODD = [*LINE_ENDS, "\t", '"', "\x00", "\x1a", "\x07"]
LOOKALIKES = ["", "NA", "nan", "007", "1e5", "True", "'", '"quoted"', "红色", "\u202eعربي"]
RESPONSES = [*(f"fly a{mark}kite" for mark in ODD), *ODD, *LOOKALIKES]


def table(responses: list[str]) -> pd.DataFrame:
    seeds = pd.array([None, *range(1, len(responses))], dtype="Int64")
    named = {"head_set": "unmasked", "seed": seeds, "needle": "NA", "haystack": "1984", "length": 256}
    return pd.DataFrame({**named, "response": responses, "rouge1_recall": 33.33, "passed": True})


@pytest.mark.parametrize("responses", [RESPONSES, [one for one in RESPONSES if "\r" not in one], ["1", "2"], ["", ""]])
def test_every_response_survives(tmp_path, responses):
    write_table(table(responses), tmp_path / "runs.tsv")
    again = read_table(tmp_path / "runs.tsv")
    assert list(again["response"]) == responses
    assert set(again["needle"]) == {"NA"}
    assert set(again["haystack"]) == {"1984"}
    assert list(pd.to_numeric(again["seed"]).astype("Int64").isna()) == [True] + [False] * (len(responses) - 1)
    assert again["rouge1_recall"].dtype == float
    assert again["passed"].dtype == bool


def test_scripts_read_tables_with_names_of_files_as_text():
    for script in (Path(__file__).parents[2] / "workflow/scripts").glob("*/*.py"):
        found = re.findall(r"pd\.read_csv\(inputs\.(\w+)", script.read_text(encoding="utf-8"))
        assert not {"placement", "cells", "runs"} & set(found), script


def test_other_readers_find_the_rows_too(tmp_path):
    responses = [one for one in RESPONSES if "\x00" not in one]
    write_table(table(responses), tmp_path / "runs.tsv")
    with open(tmp_path / "runs.tsv", encoding="utf-8", newline="") as file:
        assert [row["response"] for row in csv.DictReader(file, delimiter="\t")] == responses
    found = pd.read_csv(tmp_path / "runs.tsv", sep="\t", keep_default_na=False, dtype=str)
    assert list(found["response"]) == responses
    assert answered({"table": str(tmp_path / "runs.tsv")}, str, "masked.needles") == ["NA"]


def test_tables_without_carriage_returns_are_written_as_they_always_were(tmp_path):
    write_table(table(["fly\na kite", "red"]), tmp_path / "runs.tsv")
    assert (tmp_path / "runs.tsv").read_text() == table(["fly\na kite", "red"]).to_csv(sep="\t", index=False)
