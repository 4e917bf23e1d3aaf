"""The needle table: what is hidden, what is asked, and which words count as the answer.

Input: a tab-separated table with the columns `needle text question answer cue`, one needle a line, and maybe a column
`counterpart`.
`cue` may be empty: it holds the words that open the answer in the prompt (RULER's answer prefix,
https://arxiv.org/abs/2404.06654), so that models which were never tuned to answer questions can be measured too.
`counterpart` holds other answers that the sentence might give, separated by `|`: activation patching needs one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from retrieval_heads.sources.text_files import is_misread, read_table
from retrieval_heads.words import places, split_words


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
        """Characters `[start, end)` of the answer inside `text`: whole words, and those behind the cue if there are
        several. Raises `NeedleError` where the text does not say which."""
        found = list(places(self.answer, self.text))
        if not found:
            raise NeedleError(f"needle '{self.needle}': {self._absence()}")
        meant = found if len(found) == 1 else self._behind_the_cue(found)
        if len(meant) != 1:
            raise NeedleError(
                f"needle '{self.needle}': its answer '{self.answer}' stands {len(found)} times in its text; give it a "
                "`cue` that stands right in front of the one that is meant, or a longer answer"
            )
        return meant[0], meant[0] + len(self.answer)

    def _behind_the_cue(self, found: Sequence[int]) -> list[int]:
        """Of the places where the answer stands, the one right behind the cue; or else those anywhere behind it."""
        cue = r"\s+".join(map(re.escape, self.cue.split()))
        ends = [match.end() for match in re.finditer(cue, self.text, re.IGNORECASE)] if cue else []
        right_behind = [
            place for place in found for end in ends if place >= end and not split_words(self.text[end:place])
        ]
        return right_behind or [place for place in found if ends and place >= ends[0]]

    def _absence(self) -> str:
        """Why the answer cannot be found in the text, and what to do."""
        if self.answer in self.text:
            return f"its answer '{self.answer}' is only a part of a word of its text; give the whole word as `answer`"
        if unicodedata.normalize("NFKC", self.answer) in unicodedata.normalize("NFKC", self.text):
            return (
                f"its answer '{self.answer}' and its text are written in different forms of Unicode; write both in the "
                "same (NFC)"
            )
        return "its answer is not inside its text; copy the words of `answer` out of `text`"


COLUMNS = tuple(field.name for field in fields(Needle))
# Columns that every table has; the last one may be left out.
NEEDED = COLUMNS[:-1]


def read_needles(path: Path) -> dict[str, Needle]:
    """Read and check the table.

    Raises `NeedleError` on the first line that cannot be used, `TextFileError` for a file that is no UTF-8 table.
    """
    columns, rows = read_table(path, "needles")
    if tuple(columns) not in (NEEDED, COLUMNS):
        expected = f"{' '.join(NEEDED)}, and maybe {COLUMNS[-1]}"
        raise NeedleError(f"{path}: expected the columns {expected}, found {' '.join(columns)}")
    needles: dict[str, Needle] = {}
    for row in [Needle(**row) for row in rows]:
        _check(row, path)
        if row.needle in needles:
            raise NeedleError(f"{path}: needle '{row.needle}' is listed twice; give each its own name")
        needles[row.needle] = row
    return needles


def _check(row: Needle, path: Path) -> None:
    where = f"{path}: needle '{row.needle}'"
    if not row.needle.isidentifier():
        raise NeedleError(f"{where}: a name is made of letters, digits and '_' (it becomes a file name)")
    if is_misread(row.needle):
        raise NeedleError(f"{where}: tables would read this name as a number or an empty value; choose another name")
    if not row.answer:
        raise NeedleError(f"{where} has no answer span; fill in its `answer` column")
    if not split_words(row.answer):
        raise NeedleError(f"{where}: its answer '{row.answer}' holds no word that could be recalled; give it one")
    try:
        row.answer_span()
    except NeedleError as error:
        raise NeedleError(f"{path}: {error}") from None
    if not row.question:
        raise NeedleError(f"{where} has no question; fill in its `question` column")


def choose(needles: dict[str, Needle], names: Sequence[str], key: str) -> list[Needle]:
    """The needles of one experiment, in the order of the config; `key` is named when one is unknown."""
    unknown = [name for name in names if name not in needles]
    if unknown:
        raise NeedleError(f"{key}: no needle '{unknown[0]}' in the needle table; it has {', '.join(needles)}")
    return [needles[name] for name in names]
