"""What surrounds the haystack in the prompts of one needle: opening, needle, question and cue, in token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retrieval_heads.prompts.cells import PlacementError
from retrieval_heads.prompts.encoding.chat import split_turn
from retrieval_heads.prompts.encoding.opening import AUTO, encode_prompt
from retrieval_heads.prompts.encoding.plain_text import SpecialTokenError, refuse_control_tokens
from retrieval_heads.prompts.haystacks import covering, encode_inner
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.prompts.template import CUE, filled, template_fault
from retrieval_heads.words import comparable, stands_in


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
