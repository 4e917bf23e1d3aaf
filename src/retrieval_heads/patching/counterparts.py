"""Counterpart prompts: the same prompt, but the needle gives another answer of equally many tokens.

Every token keeps its place, so that a head's output at a step of the one run belongs to the same step of the other
(symmetric token replacement; Zhang and Nanda 2024, https://arxiv.org/abs/2309.16042, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from retrieval_heads.patching.candidates import with_answer
from retrieval_heads.prompts.cells import PlacementError, Prompt
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.prompts.placement import Pieces, cut_pieces
from retrieval_heads.prompts.template import CONTEXT


class CounterpartError(ValueError):
    """A needle without a counterpart that fits; the message names the needle, the reasons and the remedy."""


@dataclass(frozen=True)
class Counterpart:
    """The other answer of one needle. ids: token ids of the needle's whole sentence with it."""

    answer: str
    ids: tuple[int, ...]


def match_counterpart(needle: Needle, answers: Sequence[str], tokenizer, pieces: Pieces) -> Counterpart:
    """The first of `answers` that takes the place of the needle's own, token for token.

    pieces: those of the needle, as its prompts were placed. Raises `CounterpartError` where none fits, naming each
    with its number of tokens.
    """
    reasons = []
    for answer in answers:
        found, reason = _fitted(needle, answer, tokenizer, pieces)
        if found is not None:
            return found
        reasons.append(f"'{answer}' {reason}")
    start, end = pieces.answer
    raise CounterpartError(
        f"patched: no counterpart of needle '{needle.needle}' has the {end - start} tokens of its answer "
        f"'{needle.answer}' for this model: {'; '.join(reasons) or 'none is written down'}. Write another answer of "
        f"{end - start} tokens into its column `counterpart`, behind a '|' where other models need what stands there"
    )


def _fitted(needle: Needle, answer: str, tokenizer, pieces: Pieces) -> tuple[Counterpart | None, str]:
    """The counterpart, or why this answer cannot be it."""
    told = with_answer(needle, answer)
    if told.answer_span()[0] != needle.answer_span()[0]:
        return None, "also stands in front of the answer"
    try:
        other = cut_pieces(told, tokenizer, CONTEXT, chat=False)
    except PlacementError:
        return None, "is not what its tokens decode to"
    (start, end), (own_start, own_end) = other.answer, pieces.answer
    if end - start != own_end - own_start:
        return None, f"has {end - start}"
    around = (other.needle[:start], other.needle[end:])
    if around != (pieces.needle[:own_start], pieces.needle[own_end:]):
        return None, "changes the tokens of the sentence around it"
    return Counterpart(answer, tuple(other.needle)), ""


def counterpart_prompt(prompt: Prompt, counterpart: Counterpart) -> Prompt:
    """The prompt with the counterpart's sentence where the needle stood; every other token is the same."""
    start, end = prompt.cell.needle_start, prompt.cell.needle_end
    if end - start != len(counterpart.ids):
        raise CounterpartError(f"cell {prompt.cell.name}: its needle and its counterpart differ in length; place again")
    return replace(prompt, ids=(*prompt.ids[:start], *counterpart.ids, *prompt.ids[end:]))


def answer_ids(prompt: Prompt) -> tuple[int, ...]:
    """The tokens of a prompt's answer, as they stand in its needle."""
    return prompt.ids[prompt.cell.answer_start : prompt.cell.answer_end]
