"""Which needles a study uses: those that an earlier run answered, and none whose answer a haystack holds already.

Detection averages over cells that the model answered, and a masked run shows nothing where the model fails without a
mask; so a short first sweep over many needles can choose those of a long second one.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from retrieval_heads.prompts.needles import Needle, NeedleError
from retrieval_heads.sources.text_files import TextFileError, read_text
from retrieval_heads.words import comparable, stands_in

KEYS = ("table", "share")
TRUE, FALSE = ("true", "1"), ("false", "0")


class EarlierRunError(ValueError):
    """A table that no needles can be taken from; the message names the key, the value and the remedy."""


def with_names(config: Mapping, located: Callable[[str], str]) -> dict:
    """The config with a list of names in place of every {table, share} under `needles` of any part."""
    return {
        part: {**value, "needles": answered(value["needles"], located, f"{part}.needles")}
        if isinstance(value, Mapping) and isinstance(value.get("needles"), Mapping)
        else value
        for part, value in config.items()
    }


def answered(wanted: Mapping, located: Callable[[str], str], key: str) -> list[str]:
    """Needles that passed in at least `share` of their cells, in the order of the table.

    wanted: {table, share}; a table of cells, or of runs, of which the unmasked ones count. share: 0 to 1, 1 when left
    out. Raises `EarlierRunError`.
    """
    unknown = [name for name in wanted if name not in KEYS]
    if unknown or "table" not in wanted:
        fault = f"unknown key '{unknown[0]}'" if unknown else "the key 'table' is missing"
        raise EarlierRunError(
            f"{key}: {fault}; give a list of names, or the table of an earlier run as {{table, share}}"
        )
    table, share = str(wanted["table"]), wanted.get("share", 1)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise EarlierRunError(f"{key}.share: {share!r} is no share; give a number from 0 to 1")
    cells, passed = _counted(Path(located(table)), table, key)
    # Exactly: 0.28 of 25 cells are 7, in binary numbers a little more.
    found = [needle for needle in cells if passed[needle] >= Fraction(str(share)) * cells[needle]]
    if not found:
        best = max(passed[needle] / cells[needle] for needle in cells)
        raise EarlierRunError(
            f"{key}: no needle of '{table}' passed in {100 * share:.4g}% of its cells, the best in {100 * best:.4g}%"
        )
    return found


def _counted(path: Path, table: str, key: str) -> tuple[Counter, Counter]:
    """Cells of each needle, and how many of them passed."""
    if not path.is_file():
        raise EarlierRunError(f"{key}.table: there is no '{table}'; run that sweep first, or give a list of names")
    try:
        read = csv.DictReader(io.StringIO(read_text(path, f"{key}.table"), newline=""), delimiter="\t")
    except TextFileError as error:
        raise EarlierRunError(str(error)) from None
    rows = [row for row in read if row.get("head_set", "unmasked") == "unmasked"]
    if not rows or not {"needle", "passed"} <= set(rows[0]):
        raise EarlierRunError(
            f"{key}.table: '{table}' has no rows with `needle` and `passed`; give a cells.tsv or runs.tsv of a study"
        )
    # Programs that tables pass through write truth values in their own way.
    told = [(row["needle"], (row["passed"] or "").strip().lower()) for row in rows]
    if strange := [word for _, word in told if word not in (*TRUE, *FALSE)]:
        raise EarlierRunError(f"{key}.table: '{table}' says '{strange[0]}' under `passed`; write True or False there")
    return Counter(needle for needle, _ in told), Counter(needle for needle, word in told if word in TRUE)


def known_answers(needles: Sequence[Needle], texts: Mapping[str, str], key: str) -> Iterator[str]:
    """One sentence for each haystack that holds the answer of a needle already. texts: by name. key: of the config."""
    folded = {name: comparable(text) for name, text in texts.items()}
    for needle in needles:
        for name, text in folded.items():
            if stands_in(comparable(needle.answer), text):
                yield f"{key}: the answer of '{needle.needle}' already stands in haystack '{name}'; choose another"


def refuse_known_answers(needles: Sequence[Needle], texts: Mapping[str, str], key: str) -> None:
    """Raise `NeedleError` with the first of `known_answers`."""
    for fault in known_answers(needles, texts, key):
        raise NeedleError(fault)
