"""What surrounds the haystack in the prompts of one needle: opening, needle, question and cue, in token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval_heads.prompts.cells import PlacementError
from retrieval_heads.prompts.haystacks import covering, encode_inner
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.words import comparable, stands_in

CONTEXT, QUESTION, CUE = "{context}", "{question}", "{cue}"
# Stands for the context while a chat template is rendered; no tokenizer ever sees it.
SEAM = "\u241f"


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


def cut_pieces(needle: Needle, tokenizer, template: str, chat: bool) -> Pieces:
    """Tokenise the needle and the prompt around the context.

    `template` holds {context}, {question} and {cue}. With `chat`, it is the user's turn of the tokenizer's own
    chat template, and the cue opens the assistant's.
    """
    needle_ids, offsets = encode_inner(tokenizer, needle.text)
    answer = covering(offsets, *needle.answer_span())
    _check_round_trip(needle, tokenizer, needle_ids, answer)
    # A template without {cue} asks without one, in a chat as well.
    cue = f" {needle.cue}" if needle.cue and CUE in template else ""
    head, tail = template.replace(QUESTION, needle.question).split(CONTEXT)
    if chat:
        head, tail = _chat_parts(tokenizer, head + SEAM + tail.replace(CUE, ""), cue)
        head_ids = tokenizer(head, add_special_tokens=False)["input_ids"]
    else:
        tail = tail.replace(CUE, cue)
        bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        head_ids = bos + (encode_inner(tokenizer, head, "")[0] if head else [])
    return Pieces(tuple(head_ids), tuple(needle_ids), tuple(encode_inner(tokenizer, tail, "")[0]), answer)


def _chat_parts(tokenizer, turn: str, cue: str) -> tuple[str, str]:
    if not tokenizer.chat_template:
        raise PlacementError("models.*.chat is true, but the tokenizer has no chat template; set it to false")
    messages = [{"role": "user", "content": turn}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    head, tail = text.split(SEAM)
    return head, tail + cue.lstrip()


def _check_round_trip(needle: Needle, tokenizer, ids: Sequence[int], answer: tuple[int, int]) -> None:
    decoded = tokenizer.decode(ids[slice(*answer)])
    # Forms of Unicode and case are the tokenizer's business: no score tells them apart.
    if not stands_in(comparable(needle.answer), comparable(decoded)):
        raise PlacementError(
            f"needle '{needle.needle}': its answer reads '{needle.answer}' but its tokens decode to '{decoded}'; "
            "write the answer in characters that this model's tokenizer keeps"
        )
