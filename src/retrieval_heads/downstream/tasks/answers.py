"""The number or the letter that a response gives as its answer.

It stands behind the last "the answer is"; a response without one gives its last number or letter. Numbers are compared
by value, so they come in one spelling: no currency, no thousands separators, no zeros behind the last decimal.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise

INVALID = "[invalid]"
SAYS = re.compile(r"\banswer\s+is\b", re.IGNORECASE)
# A minus in front is a sign unless it stands behind a word or bracket (24-5).
NUMBER = re.compile(r"(?:(?<![\w)])-)?[$€£¥]?(?:(?<=[$€£¥])-)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+")
DENIED = re.compile(r"\bnot\s+$", re.IGNORECASE)
# Behind it a sentence goes on with something else than its calculation.
CLAUSE_END = re.compile(r"[.,;:]\s|\n|\s(?:since|because|as|so|and)\s")
# A letter by itself; "A man" is no answer, neither is "not B".
LETTER = re.compile(r"(?<!not )(?<!\bor )(?:\b([B-D])\b|\b(A)\b(?! [a-z])|\(([a-d])\))(?!['’])")


def number(text: str) -> str:
    """The number that a response gives, `INVALID` where it gives none."""
    return _answer(_plain(text), _first_number, _last_number) or INVALID


def letter(text: str) -> str:
    """The letter A to D that a response gives, `INVALID` where it gives none."""
    return _answer(_plain(text), _first_letter, _last_letter) or INVALID


def normalised_number(text: str) -> str:
    """A number without currency, separators and zeros behind the last decimal: $1,005.00 is 1005."""
    value = Decimal(re.sub(r"[^\d.-]", "", text))
    return f"{value.normalize():f}" if value else "0"


def _plain(text: str) -> str:
    """The text in ordinary digits and signs, without the marks of Markdown and TeX around words."""
    text = unicodedata.normalize("NFKC", text).replace("\u2212", "-")
    return re.sub(r"\*\*|__|\\boxed|\\text|\\\(|\\\)|\\", "", text)


def _answer(text: str, first: Callable[[str], str], last: Callable[[str], str]) -> str:
    """What stands behind the last "answer is" that anything stands behind, or else the last of the whole text."""
    marks = [match.end() for match in SAYS.finditer(text)]
    for start, end in reversed([*pairwise([*marks, len(text)])]):
        if found := first(text[start:end]):
            return found
    return last(text)


def _numbers(text: str) -> list[re.Match[str]]:
    """The numbers of a text but those that it denies (29, not 31)."""
    return [match for match in NUMBER.finditer(text) if not DENIED.search(text, 0, match.start())]


def _first_number(text: str) -> str:
    """The first number, or of a calculation (40 + 2 = 42) the number that it comes to."""
    numbers = _numbers(text)
    if not numbers:
        return ""
    clause = CLAUSE_END.split(text[numbers[0].start() :])[0]
    result = _numbers(clause.rpartition("=")[2]) if "=" in clause else []
    return normalised_number((result or numbers)[0].group())


def _last_number(text: str) -> str:
    numbers = _numbers(text)
    return normalised_number(numbers[-1].group()) if numbers else ""


def _first_letter(text: str) -> str:
    found = LETTER.search(text)
    return found[found.lastindex].upper() if found else ""


def _last_letter(text: str) -> str:
    found = [match[match.lastindex] for match in LETTER.finditer(text)]
    return found[-1].upper() if found else ""
