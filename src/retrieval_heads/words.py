"""Words of a text in any script, and where one text stands in another, whole words for whole words.

A word is a run of letters, their marks and digits. In a script that sets no spaces between words, every character with
its marks is a word of its own, as in the scores of multilingual question answering (MLQA,
https://arxiv.org/abs/1910.07475). Standard library only: the Snakefile asks while it is parsed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache

# First and last character of the blocks whose scripts set no spaces between words.
WITHOUT_SPACES = (
    "\u0e00\u0eff"  # Thai, Lao
    "\u1000\u109f\ua9e0\ua9ff\uaa60\uaa7f"  # Myanmar
    "\u1780\u17ff"  # Khmer
    "\u1950\u19df\u1a20\u1aaf\uaa80\uaadf"  # Tai Le, New Tai Lue, Tai Tham, Tai Viet
    "\u1b00\u1b7f\ua980\ua9df"  # Balinese, Javanese
    "\u2e80\u2fdf\u3005\u3007\u3021\u3029\u3031\u3035\u3038\u303c"  # radicals, ideographic marks and numerals
    "\u3041\u30ff\u3105\u312f\u31a0\u31bf\u31f0\u31ff"  # Hiragana, Katakana, Bopomofo
    "\u3400\u4dbf\u4e00\u9fff\uf900\ufaff"  # Han
    "\ua000\ua4cf"  # Yi
    "\uff66\uff9d"  # Katakana, half width
    "\U0001aff0\U0001b2fb\U00020000\U0003ffff"  # Kana and Han of later versions of Unicode
)
# South-east Asian scripts: a word takes several times as many characters as in Chinese or Japanese.
LETTERS_A_WORD = 4
ALPHABETIC_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u1aaf\u1b00-\u1b7f\ua980-\uaadf]"
)
IGNORED = re.compile("[\u00ad\u061c\u200c-\u200f\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufe00-\ufe0f\ufeff]")
# Behind it stand no letters, and nothing else that a text holds.
LAST = 0x32400
DECIMAL_POINT = re.compile(r"(?<=\d)[.,](?=\d)")
ASCII_WORDS = re.compile("[A-Za-z0-9]+")


def _ranges(categories: str) -> str:
    """The characters of some general categories (their first letters), as the inside of a character class."""
    wanted = [unicodedata.category(chr(code))[0] in categories for code in range(LAST)]
    edges = [code for code in range(1, LAST) if wanted[code] != wanted[code - 1]]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last - 1))}" for first, last in pairs)


@cache
def _singles() -> str:
    """Characters of scripts without spaces, as the inside of a character class."""
    bounds = iter(WITHOUT_SPACES)
    return "".join(f"{first}-{last}" for first, last in zip(bounds, bounds, strict=True))


@cache
def _pattern() -> re.Pattern[str]:
    """What a word is. Built when the first text that is not ASCII comes: it takes a fraction of a second."""
    # The half-width marks of voice are letters to Unicode.
    marks, single = _ranges("M") + "\uff9e\uff9f", _singles()
    first = f"(?:(?![{single}])[{_ranges('LN')}]|[{marks}])"
    return re.compile(f"(?=[{single}])\\d+|[{single}][{marks}]*|{first}(?:{first}|{IGNORED.pattern})*")


def word_spans(text: str) -> list[tuple[int, int]]:
    """Characters `[start, end)` of every word of a text."""
    pattern = ASCII_WORDS if text.isascii() else _pattern()
    return [match.span() for match in pattern.finditer(text)]


def folded(text: str) -> str:
    """A text without the differences that are no other words: compatibility forms, case, invisible characters."""
    if text.isascii():
        return text.lower()
    text = IGNORED.sub("", unicodedata.normalize("NFKC", text)).casefold()
    return unicodedata.normalize("NFKC", text)


def split_words(text: str) -> list[str]:
    """The folded words of a text, without punctuation."""
    text = folded(text)
    return [text[start:end] for start, end in word_spans(text)]


@cache
def characters_a_word(word: str) -> int:
    """How many words of `split_words` like this one make about one word of a language: 1 where it sets spaces.

    2 in Chinese and Japanese, 4 in the scripts of South-east Asia.
    """
    if word.isascii() or not re.match(f"[{_singles()}]", word):
        return 1
    return LETTERS_A_WORD if ALPHABETIC_WITHOUT_SPACES.match(word) else 2


def places(part: str, text: str) -> Iterator[int]:
    """Where `part` stands in `text`, character for character, and is not cut out of a word."""
    start = text.find(part)
    while start >= 0:
        if is_border(text, start) and is_border(text, start + len(part)):
            yield start
        start = text.find(part, start + 1)


def is_border(text: str, place: int) -> bool:
    """Whether a text may be parted at a place without cutting a word, a decimal, or a character from its marks."""
    if DECIMAL_POINT.match(text, place) or DECIMAL_POINT.match(text, place - 1):
        return False
    # What nobody sees parts no word.
    left, right = place - 1, place
    while left >= 0 and IGNORED.match(text[left]):
        left -= 1
    while right < len(text) and IGNORED.match(text[right]):
        right += 1
    return left < 0 or right == len(text) or (0, right + 1 - left) not in word_spans(text[left : right + 1])


def comparable(text: str) -> str:
    """A text as it is searched for others: its folded words with one space around each, decimals whole."""
    return f" {' '.join(filter(None, map(_parted, folded(text).split())))} "


@lru_cache(maxsize=1 << 16)
def _parted(chunk: str) -> str:
    """The words between two white spaces of a folded text, parted by one space. Cached: a text says most of them often.

    A folded text has no capital, so that D keeps 3.5 from 3, 5 and 35.
    """
    chunk = DECIMAL_POINT.sub("D", chunk)
    return " ".join(chunk[start:end] for start, end in word_spans(chunk))


def stands_in(part: str, text: str) -> bool:
    """Whether the words of `part` stand in `text`, whole and in a row; both are `comparable`."""
    return part in text
