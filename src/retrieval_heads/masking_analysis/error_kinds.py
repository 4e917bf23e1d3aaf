"""What a wrong answer in the needle test is: the error kinds of Wu et al. 2024, section 4.1, by a rule.

https://arxiv.org/abs/2404.15574 names three kinds and labels by eye. The rule here, in this order:

complete            the answer's ROUGE-1 recall passes the bar of the study.
wrong extraction    the response holds a passage of the haystack, word for word: `PASSAGE` words or more, of which at
                    least `OWN` content words, and as many as it has words of the answer, stand neither in the question
                    nor in the needle's sentence (these a model repeats before it goes wrong).
incomplete          some content word of the answer that is not in the question is in the response, in any inflection
                    that recall takes for the same word.
hallucination       everything else: nothing of the answer, no passage of the haystack; an empty response counts here.

In scripts that set no spaces, characters are counted, several for one word (`words.characters_a_word`), and one of them
alone is no word of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import pandas as pd

from retrieval_heads.prompts.needles import Needle
from retrieval_heads.prompts.recall import stem
from retrieval_heads.words import characters_a_word, split_words

ERRORS = ("complete", "wrong extraction", "incomplete", "hallucination")
# Two words in a row occur in any text by chance; three in a row rarely do.
PASSAGE = 3
OWN = 2
# Words that a response shares with any answer and any text: those that say nothing of their own, what is left of
# contractions (don't), and those of a model that says it does not know.
FUNCTION_WORDS = frozenset(
    "a an and are as at be by for from had has have he her his in is it its of on or she that the their they this to "
    "was were with i me my we us our you your him them who what which there these those am been do does did not no "
    "know s t d m ll re ve don doesn didn isn aren wasn weren hasn haven hadn wouldn couldn shouldn".split()
)


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

    def foreign_passage(self, response: Sequence[str], told: Set[str]) -> tuple[int, int | None, float]:
        """The run of `response` in the haystack with most content words of no stem in `told`; of equals the longest.

        Its length in words, its first place there, and how many such content words it holds. (0, None, 0) for none.
        """
        found = [(*self.passage_at(response, begin), begin) for begin in range(len(response))]
        passages = [
            (amount(word for word in set(run) if stem(word) not in told and word not in FUNCTION_WORDS), size, where)
            for size, where, begin in found
            if amount(run := response[begin : begin + size]) >= PASSAGE
        ]
        own, size, where = max(passages, key=lambda one: one[:2], default=(0.0, 0, None))
        return size, where, own


def amount(words: Iterable[str]) -> float:
    """How many words these are, characters of scripts without spaces as parts of words."""
    return sum(1 / characters_a_word(word) for word in words)


def shared_words(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words both begin with in common."""
    pairs = zip(first, second, strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def known_words(response: Sequence[str], answer: Sequence[str], question: Sequence[str]) -> set[str]:
    """Content words of the answer that the response holds and the question does not, stemmed as for recall.

    Of a script without spaces: characters that stand beside the same ones in both, as many as make about one word.
    """
    said, right, asked = ([stem(word) for word in words] for words in (response, answer, question))
    known: set[str] = set()
    for start, word in enumerate(response):
        run = tuple(said[start : start + characters_a_word(word)])
        if word not in FUNCTION_WORDS and _holds(right, run) and not _holds(asked, run):
            known.update(run)
    return known


def _holds(words: Sequence[str], run: tuple[str, ...]) -> bool:
    return any(tuple(words[start : start + len(run)]) == run for start in range(len(words) - len(run) + 1))


def label(response: str, needle: Needle, passed: bool, source: Source) -> dict:
    """error (one of `ERRORS`), passage (words taken from the haystack) and place (where they stand there, percent).

    place: None unless the error is a wrong extraction.
    """
    given = split_words(response)
    told = {stem(word) for text in (needle.text, needle.question, needle.cue) for word in split_words(text)}
    known = amount(known_words(given, split_words(needle.answer), split_words(needle.question)))
    size, start, own = (0, None, 0.0) if passed else source.foreign_passage(given, told)
    if passed:
        error = "complete"
    elif own >= max(OWN, known):
        error = "wrong extraction"
    else:
        error = "incomplete" if known else "hallucination"
    extracted = error == "wrong extraction"
    return {
        "error": error,
        "passage": size if extracted else 0,
        "place": 100 * start / len(source.words) if extracted else None,
    }


def label_runs(runs: pd.DataFrame, needles: Mapping[str, Needle], sources: Mapping[str, Source]) -> pd.DataFrame:
    """The table of masked runs with the columns of `label`. needles: by name; sources: haystack -> its words."""
    rows = [
        label(str(run.response), needles[run.needle], bool(run.passed), sources[run.haystack])
        for run in runs.itertuples()
    ]
    return runs.assign(**pd.DataFrame(rows, index=runs.index))
