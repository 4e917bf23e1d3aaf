"""What a wrong answer in the needle test is: the error kinds of Wu et al. 2024, section 4.1, by a rule.

https://arxiv.org/abs/2404.15574 names three kinds and labels by eye. The rule here, in this order:

complete            the answer's ROUGE-1 recall passes the bar of the study.
wrong extraction    the response holds a passage of the haystack, word for word: `PASSAGE` words or more, and at least
                    as many as it has words of the answer.
incomplete          some content word of the answer is in the response.
hallucination       everything else: nothing of the answer, no passage of the haystack; an empty response counts here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

ERRORS = ("complete", "wrong extraction", "incomplete", "hallucination")
# Two words in a row occur in any text by chance; three in a row rarely do.
PASSAGE = 3
# Words that a response shares with any answer.
FUNCTION_WORDS = frozenset(
    "a an and are as at be by for from had has have he her his in is it its of on or she that the their they this to "
    "was were with".split()
)


def split_words(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())


@dataclass(frozen=True)
class Source:
    """The words of one haystack, with every place at which `PASSAGE` words in a row stand."""

    words: Sequence[str]
    places: Mapping[tuple[str, ...], list[int]] = field(repr=False)

    @classmethod
    def of(cls, text: str) -> Source:
        words = split_words(text)
        places: dict[tuple[str, ...], list[int]] = {}
        for start in range(len(words) - PASSAGE + 1):
            places.setdefault(tuple(words[start : start + PASSAGE]), []).append(start)
        return cls(words, places)

    def passage_at(self, response: Sequence[str], begin: int) -> tuple[int, int | None]:
        """Length in words of the longest run from word `begin` on that stands in the haystack, and its first place.

        (0, None) where not even `PASSAGE` words do.
        """
        best, where = 0, None
        for start in self.places.get(tuple(response[begin : begin + PASSAGE]), ()):
            size = shared_words(response[begin:], self.words[start : start + len(response) - begin])
            if size > best:
                best, where = size, start
        return best, where

    def longest_passage(self, response: Sequence[str]) -> tuple[int, int | None]:
        """Length in words of the longest run of `response` that stands in the haystack, and its first place there."""
        return max((self.passage_at(response, begin) for begin in range(len(response))), key=_size, default=(0, None))


def shared_words(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words both begin with in common."""
    pairs = zip(first, second, strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def _size(passage: tuple[int, int | None]) -> int:
    return passage[0]


def label(response: str, answer: str, passed: bool, source: Source) -> dict:
    """error (one of `ERRORS`), passage (words taken from the haystack) and place (where they stand there, percent).

    place: None unless the error is a wrong extraction.
    """
    given = split_words(response)
    known = set(given) & set(split_words(answer)) - FUNCTION_WORDS
    size, start = (0, None) if passed else source.longest_passage(given)
    if passed:
        error = "complete"
    elif size >= max(PASSAGE, len(known)):
        error = "wrong extraction"
    else:
        error = "incomplete" if known else "hallucination"
    extracted = error == "wrong extraction"
    return {
        "error": error,
        "passage": size if extracted else 0,
        "place": 100 * start / len(source.words) if extracted else None,
    }


def label_runs(runs: pd.DataFrame, answers: Mapping[str, str], sources: Mapping[str, Source]) -> pd.DataFrame:
    """The table of masked runs with the columns of `label`. answers: needle -> answer; sources: haystack -> words."""
    rows = [
        label(str(run.response), answers[run.needle], bool(run.passed), sources[run.haystack])
        for run in runs.itertuples()
    ]
    return runs.assign(**pd.DataFrame(rows, index=runs.index))
