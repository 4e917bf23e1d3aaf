"""The prompts of a needle: its pieces in tokens, and where it goes, which is known because it was put there.

The context of a cell holds exactly `length - reserve_tokens` tokens: the opening (BOS, or the chat template up to the
context), haystack, needle, haystack. The question and at most `max_new_tokens` of answer fit into the reserve.
The needle goes in at the last sentence end at or before its depth; depth 0 is the start and depth 100 the end
(Wu et al. 2024, https://arxiv.org/abs/2404.15574, section 2, and its released code). Where the text has no sentence
there, but a stretch of more than `LONGEST_SENTENCE` tokens (code, verse, lists), the needle goes in at its depth, at
the next border between tokens that does not split a character.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from retrieval_heads.prompts.cells import Cell, PlacementError, Prompt
from retrieval_heads.prompts.encoding.chat import split_turn
from retrieval_heads.prompts.encoding.opening import AUTO, encode_prompt
from retrieval_heads.prompts.encoding.plain_text import SpecialTokenError, refuse_control_tokens
from retrieval_heads.prompts.haystacks import Haystack, covering, encode_inner, repeated
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.prompts.template import CUE, filled, template_fault
from retrieval_heads.words import comparable, stands_in

# In tokens. What is longer is no sentence, whose start would be near enough to the depth that was asked for.
LONGEST_SENTENCE = 128
# Points of depth from which on a needle stands far from where it was asked for.
FAR = 10


@dataclass(frozen=True)
class Pieces:
    """What surrounds the haystack in the prompts of one needle, in token ids.

    head: before the context. needle: the needle sentence. tail: from the question on.
    answer: tokens `[start, end)` of the answer inside `needle`.
    """

    head: tuple[int, ...]
    needle: tuple[int, ...]
    tail: tuple[int, ...]
    answer: tuple[int, int]


def cut_pieces(
    needle: Needle, tokenizer, template: str, chat: bool, *, opening: str = AUTO, **rendering: str | None
) -> Pieces:
    """Tokenise the needle and the prompt around the context.

    `template` holds {context}, {question} and {cue}. With `chat`, it is the user's turn of the tokenizer's own
    chat template, and the cue opens the assistant's. opening: see `encoding.opening`. rendering: `date` and `think_end`
    of `chat.render`.
    """
    name = f"needle '{needle.needle}'"
    needle_ids, offsets = encode_inner(tokenizer, needle.text, name=name)
    answer = covering(offsets, *needle.answer_span())
    _check_round_trip(needle, tokenizer, needle_ids, answer)
    if fault := template_fault(template):
        raise PlacementError(f"prompt.template: {fault}")
    try:
        if chat:
            head_ids, tail = _chat_around(needle, tokenizer, template, opening, rendering)
        else:
            head, tail = filled(template, needle.question, f" {needle.cue}" if needle.cue else "")
            # Where a prompt begins, the tokenizer itself says how a text begins.
            head_ids = encode_prompt(tokenizer, head, wish=opening)
    except SpecialTokenError as error:
        raise PlacementError(f"{name}, {error}") from None
    tail_ids, _ = encode_inner(tokenizer, tail, "", markup=chat, name=name)
    return Pieces(tuple(head_ids), tuple(needle_ids), tuple(tail_ids), answer)


def _chat_around(needle: Needle, tokenizer, template: str, opening: str, rendering: Mapping) -> tuple[list[int], str]:
    """Token ids in front of the context, and the text behind it, where the template is the user's turn."""
    head, tail = split_turn(tokenizer, filled(template, needle.question, ""), **rendering)
    # A template without {cue} asks without one, in a chat as well.
    cue = needle.cue if CUE in template else ""
    refuse_control_tokens(tokenizer, cue)
    return encode_prompt(tokenizer, head, chat=True, wish=opening), tail + cue


def _check_round_trip(needle: Needle, tokenizer, ids: Sequence[int], answer: tuple[int, int]) -> None:
    decoded = tokenizer.decode(ids[slice(*answer)])
    # Forms of Unicode and case are the tokenizer's business: no score tells them apart.
    if not stands_in(comparable(needle.answer), comparable(decoded)):
        raise PlacementError(
            f"needle '{needle.needle}': its answer reads '{needle.answer}' but its tokens decode to '{decoded}'; "
            "write the answer in characters that this model's tokenizer keeps"
        )


def insertion_point(haystack: Haystack, room: int, depth: int) -> int:
    """Haystack tokens in front of the needle when `room` of them fit into the context."""
    if depth >= 100:
        return room
    target = room * depth // 100
    ends = haystack.sentence_ends
    before = np.searchsorted(ends, target, side="right")
    last = int(ends[before - 1]) if before else 0
    following = int(ends[before]) if before < len(ends) else len(haystack.ids)
    if target == last or following - last <= LONGEST_SENTENCE:
        return last
    split = set(haystack.split_characters.tolist())
    return next(point for point in range(target, room + 1) if point == room or point not in split)


def place(
    needle: str,
    haystack: Haystack,
    pieces: Pieces,
    length: int,
    depth: int,
    context_tokens: int,
    point: int | None = None,
) -> Prompt:
    """Build one prompt whose context, opening included, holds exactly `context_tokens` tokens.

    point: haystack tokens in front of the needle; None looks for them (`insertion_point`).
    """
    room = context_tokens - len(pieces.head) - len(pieces.needle)
    point = insertion_point(haystack, room, depth) if point is None else point
    start = len(pieces.head) + point
    straw = haystack.ids.tolist()
    ids = (*pieces.head, *straw[:point], *pieces.needle, *straw[point:room], *pieces.tail)
    cell = Cell(
        needle=needle,
        haystack=haystack.name,
        length=length,
        depth=depth,
        needle_start=start,
        needle_end=start + len(pieces.needle),
        answer_start=start + pieces.answer[0],
        answer_end=start + pieces.answer[1],
        question_start=context_tokens,
        prompt_tokens=len(ids),
    )
    return Prompt(ids, cell)


@dataclass(frozen=True)
class Grid:
    """The lengths (tokens) and depths (percent) of one experiment, and how the length is spent."""

    lengths: tuple[int, ...]
    depths: tuple[int, ...]
    reserve_tokens: int
    max_new_tokens: int
    repeat_haystack: bool


def prepare(name: str, haystack: Haystack, pieces: Pieces, grid: Grid, window: int | None) -> Haystack:
    """Check that every cell of one needle can be built; returns the haystack, repeated where the config allows it.

    Raises `PlacementError` with the key, the value and the remedy. `window`: the model's context window in tokens.
    """
    longest, shortest = max(grid.lengths), min(grid.lengths)
    if window is not None and longest > window:
        raise PlacementError(f"lengths: {longest} is beyond the model's window of {window} tokens; shorten the list")
    answering = len(pieces.tail) + grid.max_new_tokens
    if answering > grid.reserve_tokens:
        raise PlacementError(
            f"prompt.reserve_tokens: {grid.reserve_tokens} is too few for the question of needle '{name}' "
            f"({len(pieces.tail)} tokens) and {grid.max_new_tokens} new tokens; set it to {answering} or more"
        )
    least = grid.reserve_tokens + len(pieces.head) + len(pieces.needle)
    if shortest < least:
        raise PlacementError(f"lengths: {shortest} leaves no room for needle '{name}'; the least is {least}")
    needed = longest - least
    missing = needed - len(haystack.ids)
    if missing > 0 and not grid.repeat_haystack:
        raise PlacementError(
            f"haystacks.folder: '{haystack.name}' is {missing} tokens too short for a length of {longest}; "
            "use a longer text, join the files of the folder into one (haystacks.join: true), or set haystacks.repeat "
            "to true"
        )
    return repeated(haystack, needed) if missing > 0 else haystack


def place_grid(name: str, haystack: Haystack, pieces: Pieces, grid: Grid) -> Iterator[Prompt]:
    """All prompts of one needle, lengths in the outer loop. `haystack` comes from `prepare`."""
    for length in grid.lengths:
        for depth in grid.depths:
            yield place(name, haystack, pieces, length, depth, length - grid.reserve_tokens)


def as_row(cell: Cell, pieces: Pieces) -> dict:
    """A row of the placement table: the fields of the cell, and where its needle came to stand.

    depth_reached: percent of the haystack's tokens that stand in front of the needle. far_from_depth: whether that is
    more than `FAR` points from the depth that was asked for.
    """
    room = cell.question_start - len(pieces.head) - len(pieces.needle)
    reached = 100 * (cell.needle_start - len(pieces.head)) / room if room else float(cell.depth)
    return {**asdict(cell), "depth_reached": round(reached, 2), "far_from_depth": abs(reached - cell.depth) > FAR}


def misses(rows: Sequence[Mapping]) -> str:
    """What is to be said of the rows whose needle stands far from its depth; nothing where there are none."""
    far = [row for row in rows if row["far_from_depth"]]
    if not far:
        return ""
    worst = max(far, key=lambda row: abs(row["depth_reached"] - row["depth"]))
    return (
        f"In {len(far)} of {len(rows)} cells the needle stands more than {FAR} points from its depth, as sentences end "
        f"elsewhere: '{worst['needle']}' at length {worst['length']} was asked for at {worst['depth']} % and stands at "
        f"{worst['depth_reached']} %. The placement table has them all (depth_reached, far_from_depth)."
    )


def assemble(
    cells: Sequence[Mapping], haystacks: Mapping[str, Haystack], pieces: Mapping[str, Mapping]
) -> list[Prompt]:
    """The prompts of a placement table: tokens are joined again from the pieces, so the table stays small.

    `pieces` holds the fields of `Pieces` for each needle, as read from JSON.

    Raises `PlacementError`, naming the cell, when a row does not say what its pieces make.
    """
    parts = {needle: Pieces(**{key: tuple(ids) for key, ids in piece.items()}) for needle, piece in pieces.items()}
    prompts = []
    for row in cells:
        cell = Cell(**{field.name: row[field.name] for field in fields(Cell)})
        straw = haystacks[cell.haystack]
        if len(straw.ids) < cell.question_start:
            straw = repeated(straw, cell.question_start)
        part = parts[cell.needle]
        point = cell.needle_start - len(part.head)
        prompt = place(cell.needle, straw, part, cell.length, cell.depth, cell.question_start, point)
        if prompt.cell != cell:
            raise PlacementError(f"cell {cell.name}: its row and its tokens disagree; delete the placement table")
        prompts.append(prompt)
    return prompts
