"""The benchmarks still run, and all ways that they compare give the same answers. No time is looked at."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from studies import ROOT

GRID = ("--lengths", "256", "448", "--depths", "0", "50")


def table(script: str, *args: str) -> list[list[str]]:
    """Rows of the tables that a benchmark prints, headers among them."""
    command = [sys.executable, str(ROOT / "benchmarks" / script), *args]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("sets", [0, 4])
def test_every_way_gives_the_same_answers(sets):
    header, *rows = table("engine.py", *GRID, "--head-sets", str(sets))
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert set(found) == {"naive", "generate", "reused"} | ({"full", "peer"} if not sets else set())
    assert found.pop("peer", {"same answers": "none"})["same answers"] == "none"
    answers = max(1, sets) * 4
    assert {row["same answers"] for row in found.values()} == {f"{answers} of {answers}"}
    prefilled = {way: int(row["tokens prefilled"]) for way, row in found.items()}
    assert prefilled["reused"] < prefilled["generate"] == prefilled["naive"]


def test_few_needles_and_draws_can_show_nothing():
    header, _, *rows = table("needles_and_draws.py", "--runs", "3")
    needles = {row[0]: dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)}
    assert [needles[few]["found: 60 points"] for few in ("1", "2", "3", "5")] == ["0"] * 4
    draws = {row[0]: row for row in rows if len(row) == 5}
    assert [draws[few][3] for few in ("1", "5", "10")] == ["0"] * 3 and draws["19"][1] == "0.050"


def test_the_floor_is_measured_at_every_length():
    rows = table("floor.py", "--lengths", "128", "256")
    assert [row[0] for row in rows if row[0].isdigit()] == ["128", "256"] * 2


def test_the_table_of_a_card_is_written_to_its_end(tmp_path):
    """On the CPU with small shapes; what is right on a card must be right here, times aside."""
    written = tmp_path / "card.md"
    header, _, *rows = table("card.py", "--small", "--device", "cpu", "--minutes", "60", "--write", str(written))
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert {row["step"] for row in found} == {
        "machine",
        "heads",
        "masks",
        "memory runs out",
        "two jobs at once",
        "speed",
    }
    assert {row["verdict"].strip() for row in found} == {"ok", ""}
    assert len([row for row in found if row["step"] == "masks"]) == 12
    assert found[-1]["case"] == "a masking curve at 128 tokens"
    assert len(written.read_text().splitlines()) == len(rows) + 2


def test_a_step_for_which_no_time_is_left_is_named(tmp_path):
    rows = table("card.py", "--small", "--device", "cpu", "--minutes", "0", "--write", str(tmp_path / "card.md"))
    assert [row[2] for row in rows[2:]] == ["left out: no time is left"] * 6
