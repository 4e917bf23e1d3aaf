"""Facts in prompts of an exact length: planted in a haystack, or where a document already holds them.

Both are cells of `retrieval_heads.prompts.cells`, so that the engine reads them like any other; here the whole prompt,
the question included, holds exactly `length` tokens.

planted: the fact's sentence goes into a haystack at a depth.
natural: the fact stays where a document tells it. A longer document is cut and a shorter one padded, both around the
fact, so that it keeps its relative depth: padding is the end of a haystack in front and its beginning behind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from retrieval_heads.prompts.cells import Prompt
from retrieval_heads.prompts.haystacks import Haystack, covering, encode_inner
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.prompts.placement import Grid, Pieces, place, place_grid, prepare
from retrieval_heads.sum_attention.facts import FactError
from retrieval_heads.words import places


@dataclass(frozen=True)
class Placed:
    """The prompts of one fact, the texts around it by name, and its pieces (what `placement.assemble` needs)."""

    prompts: list[Prompt]
    texts: dict[str, Haystack]
    pieces: Pieces


def planted(
    needle: Needle, haystack: Haystack, pieces: Pieces, lengths: Sequence[int], depths: Sequence[int], repeat: bool
) -> Placed:
    """The fact at every length (tokens of the whole prompt) and depth (percent) of one haystack.

    repeat: say the haystack again where it is too short. Raises `PlacementError` for what cannot be built.
    """
    grid = _exact(pieces, lengths, depths, repeat)
    straw = prepare(needle.needle, haystack, pieces, grid, window=None)
    return Placed(list(place_grid(needle.needle, straw, pieces, grid)), {haystack.name: haystack}, pieces)


def natural(
    needle: Needle,
    document: str,
    haystack: Haystack,
    pieces: Pieces,
    tokenizer,
    lengths: Sequence[int],
    repeat: bool,
) -> Placed:
    """The fact in its document at every length (tokens of the whole prompt); haystack: what pads the document.

    The fact's tokens are those of the document. Raises `FactError` when the document does not hold the fact's text and
    its answer exactly once.
    """
    ids, told, answer = find(needle, document, tokenizer)
    own = replace(pieces, needle=tuple(ids[slice(*told)]), answer=tuple(place - told[0] for place in answer))
    filler = prepare(needle.needle, haystack, own, _exact(own, lengths, (0,), repeat), window=None)
    prompts, texts = [], {}
    for length in lengths:
        context = length - len(own.tail)
        room = context - len(own.head) - len(own.needle)
        around, point = window(ids[: told[0]], ids[told[1] :], filler.ids.tolist(), room)
        text = Haystack(f"{needle.needle}_{length}", np.array(around, np.int32), np.array([point], np.int32))
        prompts.append(place(needle.needle, text, own, length, depth_of(point, room), context, point))
        texts[text.name] = text
    return Placed(prompts, texts, own)


def _exact(pieces: Pieces, lengths: Sequence[int], depths: Sequence[int], repeat: bool) -> Grid:
    """A grid that keeps back the question and nothing else, so that a prompt is as long as its length says."""
    return Grid(tuple(lengths), tuple(depths), len(pieces.tail), 0, repeat)


def find(needle: Needle, document: str, tokenizer) -> tuple[list[int], tuple[int, int], tuple[int, int]]:
    """The document in tokens, and the tokens [start, end) of the fact's text and of its answer."""
    document = document.strip()
    for what, text in (("text", needle.text), ("answer", needle.answer)):
        if (times := len(list(places(text, document)))) != 1:
            raise FactError(
                f"sum_attention.documents: the {what} of '{needle.needle}', '{text}', stands {times} times in its "
                "document; it must stand there once, word for word"
            )
    ids, offsets = encode_inner(tokenizer, document, name=f"the document of fact '{needle.needle}'")
    [start] = places(needle.text, document)
    first, last = (start + place for place in needle.answer_span())
    return ids, covering(offsets, start, start + len(needle.text)), covering(offsets, first, last)


def window(before: Sequence[int], after: Sequence[int], filler: Sequence[int], room: int) -> tuple[list[int], int]:
    """`room` tokens around a fact and how many of them stand in front of it.

    before, after: the document's tokens on both sides. filler: at least `room` tokens. The fact keeps its relative
    depth; within the last percent it moves to the end, because depths are whole percents.
    """
    point = room * len(before) // max(1, len(before) + len(after))
    point = room if point > room * 99 // 100 else point
    front = [*filler[len(filler) - max(0, point - len(before)) :], *before[max(0, len(before) - point) :]]
    behind = [*after, *filler[: max(0, room - point - len(after))]][: room - point]
    return [*front, *behind], point


def depth_of(point: int, room: int) -> int:
    """Percent of the room in front of the fact, rounded up to the percent from which `placement` finds it again."""
    return math.ceil(100 * point / room)
