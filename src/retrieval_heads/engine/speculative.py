"""Greedy decoding that checks guesses of several tokens in one forward call.

The result is that of plain greedy decoding, in fewer calls: speculative decoding
(https://arxiv.org/abs/2211.17192) with the prompt as the draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval_heads.engine.batched_decoding import Rows
from retrieval_heads.engine.decoding import StopRule, confirmed

# A guess after the answer has left the draft: longer ones are rarely right to their end.
LOOKUP_TOKENS = 8
# The first guess is no longer: logits of all its tokens are held at once.
DRAFT_TOKENS = 32


@dataclass(frozen=True)
class Draft:
    """What a row begins with: the last prompt token, and the answer as it stands in the prompt."""

    last_prompt_token: int
    source: tuple[int, ...]


def greedy_with_drafts(rows: Rows, drafts: Sequence[Draft], *, max_new_tokens: int) -> list[list[int]]:
    """Emitted ids of each row, stop token included; a row leaves when it has stopped.

    The first guess is the draft; after a token that was guessed wrong, it is what follows the same token in the
    draft. A guess is kept as far as it is what greedy decoding emits.
    """
    stop = StopRule(rows.loaded)
    emitted: list[list[int]] = [[] for _ in drafts]
    running = list(range(len(drafts)))
    while running:
        guesses = [_guess(drafts[row], emitted[row], max_new_tokens) for row in running]
        last = [emitted[row][-1] if emitted[row] else drafts[row].last_prompt_token for row in running]
        width = 1 + max(map(len, guesses))
        # Shorter guesses are filled up with anything: what follows a guess is taken back.
        ids = [([token, *guess] + [token] * width)[:width] for token, guess in zip(last, guesses, strict=True)]
        predicted = rows.feed(running, ids).argmax(-1).tolist()
        for row, tokens, guess in zip(running, predicted, guesses, strict=True):
            new = confirmed(tokens[: 1 + len(guess)], guess, stop, emitted[row])
            rows.take_back(row, width - len(new))
            emitted[row] += new
        running = [
            row
            for row in running
            if len(emitted[row]) < max_new_tokens and not stop(emitted[row][-1], emitted[row][:-1])
        ]
    return emitted


def _guess(draft: Draft, emitted: Sequence[int], max_new_tokens: int) -> tuple[int, ...]:
    """The tokens that may come next, no more than are still wanted behind the one that is fed."""
    guess = draft.source[:DRAFT_TOKENS]
    if emitted:
        token = emitted[-1]
        source = draft.source
        guess = source[source.index(token) + 1 :][:LOOKUP_TOKENS] if token in source else ()
    return guess[: max_new_tokens - len(emitted) - 1]
