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
# A digit or a minus that is no part of a number, nor of a word.
LOOSE = re.compile(r"\d|(?<![^\W\d_])-")
DENIED = re.compile(r"(?:\b(?:not|never|neither|nor)|n['’]t)\s+$", re.IGNORECASE)
# Behind it a sentence goes on with something else than its calculation.
CLAUSE_END = re.compile(r"[.,;:]\s|\n|\s(?:since|because|as|so|and)\s")
# Between two numbers: these are calculated with. \times and \frac{58}{2} have lost their backslash.
OPERATOR = re.compile(
    r"[+*/×÷·^]|-(?![^\W\d_])|(?<![^\W\d_])x(?![^\W\d_])|[)}]\s*[({]|%\s*of\b"
    r"|\b(?:plus|minus|times|cdot|div|divided\s+by|multiplied\s+by|percent\s+of)\b",
    re.IGNORECASE,
)
# A word that no article stands in front of: "A because" chooses, "A man" does not.
NO_NOUN = (
    r"(?:and|or|nor|but|not|because|since|as|while|whereas|(?:al)?though|if|unless|when|where|which|who|that|than"
    r"|rather\s+than|instead\s+of|due\s+to|is|isn['’]t|are|was|wasn['’]t|has|does|would|could|should"
    r"|in|on|at|by|to|of|for|from|with|without|only|alone)(?![\w-])"
)
# A letter by itself, in quotes or not; "A man" is no answer.
LETTER = re.compile(rf"(?:\b([B-D])\b|\b(A)\b(?!\s[a-z](?!\.))|\b(A)\b(?=\s{NO_NOUN})|\(([a-d])\))(?!['’]\w)")
# In front of a letter: it is denied, or a second choice.
PASSED_OVER = re.compile(r"(?:\b(?:not|never|neither|nor|or)|n['’]t)\s+[(\"'“‘]?$", re.IGNORECASE)


def number(text: str) -> str:
    """The number that a response gives, `INVALID` where it gives none."""
    return _answer(_plain(text), _first_number, _last_number) or INVALID


def letter(text: str) -> str:
    """The letter A to D that a response gives, `INVALID` where it gives none."""
    return _answer(_plain(text), _first_letter, _last_letter) or INVALID


def only_number(text: str) -> str:
    """The one number that a text holds, `INVALID` for none or several, or one that is calculated with (1/2, - 5)."""
    parts = NUMBER.split(text := _plain(text))
    if len(parts) != 2 or LOOSE.search(" ".join(parts)):
        return INVALID
    return _normalised(NUMBER.search(text).group())


def _normalised(text: str) -> str:
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
    sides = CLAUSE_END.split(text[numbers[0].start() :])[0].split("=")
    # Behind a result more may stand: 40 + 2 = 42 minutes = 0.7 hours.
    result = next((side for side in sides if not _is_calculation(side)), sides[-1])
    return _normalised((_numbers(result) or numbers)[0].group())


def _is_calculation(text: str) -> bool:
    """Whether a text begins with two numbers that are calculated with."""
    first, second = [*_numbers(text), None, None][:2]
    # A minus right in front of the second number was read as its sign.
    return second is not None and bool(OPERATOR.search(text[first.end() : second.start() + 1]))


def _last_number(text: str) -> str:
    numbers = _numbers(text)
    return _normalised(numbers[-1].group()) if numbers else ""


def _letters(text: str) -> list[str]:
    """The letters of a text but those that it denies or names second."""
    found = [match for match in LETTER.finditer(text) if not PASSED_OVER.search(text, 0, match.start())]
    return [match[match.lastindex].upper() for match in found]


def _first_letter(text: str) -> str:
    return next(iter(_letters(text)), "")


def _last_letter(text: str) -> str:
    return next(reversed(_letters(text)), "")
