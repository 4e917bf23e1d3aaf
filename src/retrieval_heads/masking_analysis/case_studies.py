"""A response before and after masking: one case for each kind of error, chosen by a rule, with what each word copies.

The case of a kind of error (`error_kinds.ERRORS`), of all cells that are answered with nothing masked: the one that
is answered best (ROUGE-1 recall); of these the one that errs so with the fewest top heads masked; then the one whose
length is next to the median length, whose depth is next to 50 %, that comes first in the table. Beside it stands the
first draw of as many random heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from retrieval_heads.masking_analysis.error_kinds import (
    ERRORS,
    FUNCTION_WORDS,
    PASSAGE,
    Source,
    amount,
    shared_words,
)
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.words import folded, split_words, word_spans

CELL = ["needle", "length", "depth"]
ORIGINS = ("needle", "haystack", "neither")
RUN = ["head_set", "kind", "k", "seed"]
COLUMNS = ["error", "share", "responses", *CELL, "sentence", "question", *RUN, "label", "part", "text", "origin"]


def case_studies(runs: pd.DataFrame, needles: Mapping[str, Needle], sources: Mapping[str, Source]) -> pd.DataFrame:
    """`COLUMNS`, one row a part of a text.

    runs: the table of masked runs with the column `error`. sources: haystack -> its words. sentence, question: of the
    needle. error: what the case stands for; share: percent of the `responses` with top heads masked, at every size,
    that err so. label: what this response is. part: 0, 1, ...: the response in pieces of one origin (`origins`).
    """
    top = runs[runs["kind"] == "top"]
    rows = []
    for error in ERRORS[1:]:
        case = choose_case(runs, error)
        if case is None:
            continue
        share = {"error": error, "share": 100 * (top["error"] == error).mean(), "responses": len(top)}
        for run in _side_by_side(runs, case).itertuples():
            needle = needles[run.needle]
            asked = {"sentence": needle.text, "question": needle.question}
            own = {**{name: getattr(run, name) for name in (*CELL, *RUN)}, **asked, "label": run.error}
            pieces = origins(str(run.response), split_words(needle.text), sources[run.haystack])
            rows += [
                {**share, **own, "part": part, "text": text, "origin": origin}
                for part, (text, origin) in enumerate(pieces or [("", "neither")])
            ]
    return pd.DataFrame(rows, columns=COLUMNS)


def choose_case(runs: pd.DataFrame, error: str) -> pd.Series | None:
    """The run with top heads masked that stands for a kind of error; None where no such run errs so."""
    plain = runs[runs["kind"] == "none"]
    answered = plain.loc[plain["error"] == "complete", [*CELL, "rouge1_recall"]]
    found = (
        runs[(runs["kind"] == "top") & (runs["error"] == error)].drop(columns="rouge1_recall").merge(answered, on=CELL)
    )
    if found.empty:
        return None
    middle = plain["length"].median()
    order = found.assign(
        lost=-found["rouge1_recall"], far=(found["length"] - middle).abs(), off=(found["depth"] - 50).abs()
    )
    return order.sort_values(["lost", "k", "far", "off"], kind="stable").iloc[0]


def _side_by_side(runs: pd.DataFrame, case: pd.Series) -> pd.DataFrame:
    """The cell of a case unmasked, with the top heads masked, and with the first draw of random heads."""
    cell = runs[(runs[CELL] == case[CELL]).all(axis=1) & ((runs["kind"] == "none") | (runs["k"] == case["k"]))]
    random = cell[cell["kind"] == "random"].sort_values("seed", key=pd.to_numeric)
    return pd.concat([cell[cell["kind"] == "none"], cell[cell["kind"] == "top"], random.head(1)])


def origins(response: str, needle: Sequence[str], source: Source) -> list[tuple[str, str]]:
    """The response in pieces, each with its origin (one of `ORIGINS`); joined, the pieces are the response.

    From left to right, at each word: the longest run of words from there on that stands in the needle's sentence, or,
    where that is longer and holds `PASSAGE` words or more, in the haystack. A run of function words alone comes from
    the needle only if it holds as many. What follows a word (a space, a comma) belongs to its piece.
    """
    spans = word_spans(response)
    words = [folded(response[start:end]) for start, end in spans]
    starts = [start for start, _ in spans]
    ends = [*starts[1:], len(response)]
    pieces: list[tuple[str, str]] = []
    place = 0
    while place < len(words):
        size, origin = _origin(words, place, needle, source)
        text = response[starts[place] if place else 0 : ends[place + size - 1]]
        if pieces and pieces[-1][1] == origin == "neither":
            text = pieces.pop()[0] + text
        pieces.append((text, origin))
        place += size
    return pieces or ([(response, "neither")] if response else [])


def _origin(words: Sequence[str], place: int, needle: Sequence[str], source: Source) -> tuple[int, str]:
    """How many words from `place` on come from one origin, and which; one word where they come from neither."""
    size = max(shared_words(words[place:], needle[start:]) for start in range(len(needle)))
    passage, _ = source.passage_at(words, place)
    if passage > size and amount(words[place : place + passage]) >= PASSAGE:
        return passage, "haystack"
    content = set(words[place : place + size]) - FUNCTION_WORDS
    enough = amount(content) >= 1 or amount(words[place : place + size]) >= PASSAGE
    return (size, "needle") if size and enough else (1, "neither")
