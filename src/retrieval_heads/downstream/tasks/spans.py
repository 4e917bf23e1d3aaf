"""Scores of an answer that is a span of text: token F1 and exact match as in SQuAD, the best over all right answers.

Rajpurkar et al. 2016 (https://arxiv.org/abs/1606.05250), section 6: lower case, no punctuation, no articles; MuSiQue
(https://arxiv.org/abs/2108.00573) scores the same, against the answer and its aliases. In other scripts than Latin
punctuation is what Unicode says, and characters are counted where no spaces part words, as in MLQA
(https://arxiv.org/abs/1910.07475).
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

from retrieval_heads.words import characters_a_word, folded, split_words

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> list[str]:
    """The words of an answer that count."""
    text = folded(text).translate(PUNCTUATION)
    if not text.isascii():
        text = "".join(char for char in text if unicodedata.category(char)[0] != "P")
    return [part for word in ARTICLES.sub(" ", text).split() for part in _without_spaces(word)]


def _without_spaces(word: str) -> list[str]:
    """A word, or its characters and the words between them where it is of a script that sets no spaces."""
    parts = [] if word.isascii() else split_words(word)
    return parts if any(characters_a_word(part) > 1 for part in parts) else [word]


def token_f1(response: str, answers: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over the words of the response, 0 to 1, the best over `answers`."""
    return max(_f1(normalised(response), normalised(answer)) for answer in answers)


def exact_match(response: str, answers: Sequence[str]) -> float:
    """1 where the normalised response is one of the normalised answers, else 0."""
    return float(normalised(response) in [normalised(answer) for answer in answers])


def _f1(response: list[str], answer: list[str]) -> float:
    shared = sum((Counter(response) & Counter(answer)).values())
    # SQuAD 2.0: two empty answers agree, an empty one and another do not.
    if not response or not answer:
        return float(response == answer)
    return 2 * shared / (len(response) + len(answer))
