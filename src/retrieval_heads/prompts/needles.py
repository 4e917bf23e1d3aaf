"""The needle table: what is hidden, what is asked, and which words count as the answer.

Input: a tab-separated table with the columns `needle text question answer cue`, one needle a line, and maybe a column
`counterpart`.
`cue` may be empty: it holds the words that open the answer in the prompt (RULER's answer prefix,
https://arxiv.org/abs/2404.06654), so that models which were never tuned to answer questions can be measured too.
`counterpart` holds other answers that the sentence might give, separated by `|`: activation patching needs one.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path


class NeedleError(ValueError):
    """A needle table that cannot be used; the message names the file, the needle and the remedy."""


@dataclass(frozen=True)
class Needle:
    """One planted sentence: `answer` is the part of `text` whose copying is scored.

    counterpart: other answers in its place, separated by `|`; empty where none is written down.
    """

    needle: str
    text: str
    question: str
    answer: str
    cue: str
    counterpart: str = ""

    def answer_span(self) -> tuple[int, int]:
        """Characters `[start, end)` of the answer inside `text`."""
        start = self.text.index(self.answer)
        return start, start + len(self.answer)


COLUMNS = tuple(field.name for field in fields(Needle))
# Columns that every table has; the last one may be left out.
NEEDED = COLUMNS[:-1]


def read_needles(path: Path) -> dict[str, Needle]:
    """Read and check the table; raises `NeedleError` on the first line that cannot be used."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        found = tuple(reader.fieldnames or ())
        if found not in (NEEDED, COLUMNS):
            expected = f"{' '.join(NEEDED)}, and maybe {COLUMNS[-1]}"
            raise NeedleError(f"{path}: expected the columns {expected}, found {reader.fieldnames}")
        rows = [Needle(**{name: (row[name] or "").strip() for name in found}) for row in reader]
    needles: dict[str, Needle] = {}
    for row in rows:
        _check(row, path)
        if row.needle in needles:
            raise NeedleError(f"{path}: needle '{row.needle}' is listed twice; give each its own name")
        needles[row.needle] = row
    return needles


def _check(row: Needle, path: Path) -> None:
    where = f"{path}: needle '{row.needle}'"
    if not row.needle.isidentifier():
        raise NeedleError(f"{where}: a name is made of letters, digits and '_' (it becomes a file name)")
    if not row.answer:
        raise NeedleError(f"{where} has no answer span; fill in its `answer` column")
    if row.answer not in row.text:
        raise NeedleError(f"{where}: its answer is not inside its text; copy the words of `answer` out of `text`")
    if not row.question:
        raise NeedleError(f"{where} has no question; fill in its `question` column")


def choose(needles: dict[str, Needle], names: Sequence[str], key: str) -> list[Needle]:
    """The needles of one experiment, in the order of the config; `key` is named when one is unknown."""
    unknown = [name for name in names if name not in needles]
    if unknown:
        raise NeedleError(f"{key}: no needle '{unknown[0]}' in the needle table; it has {', '.join(needles)}")
    return [needles[name] for name in names]
