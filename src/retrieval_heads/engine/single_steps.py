"""Greedy decoding a token at a time: for caches that cannot take tokens back, and for whole passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from retrieval_heads.engine.decoding import StopRule
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import RowListener, branched
from retrieval_heads.models.loading import Loaded

# Emitted ids of each row so far -> logits of the next token, [rows, vocabulary].
Step = Callable[[Sequence[Sequence[int]]], torch.Tensor]


def greedy(loaded: Loaded, cache, last_prompt_token: int, *, rows: int = 1, max_new_tokens: int) -> list[list[int]]:
    """Decode `rows` rows that share one prompt; `cache` holds all of it but its last token, once per row.

    Returns the emitted ids of each row, stop token included.
    """

    def step(so_far: list[list[int]]) -> torch.Tensor:
        return forward(loaded, [[row[-1] if row else last_prompt_token] for row in so_far], cache)

    return greedy_steps(loaded, step, rows=rows, max_new_tokens=max_new_tokens)


def greedy_steps(loaded: Loaded, step: Step, *, rows: int = 1, max_new_tokens: int) -> list[list[int]]:
    """Decode `rows` rows by steps that give the logits of the next tokens; see `greedy`."""
    stop = StopRule(loaded)
    so_far: list[list[int]] = [[] for _ in range(rows)]
    emitted: list[list[int]] = [[] for _ in range(rows)]
    running = set(range(rows))
    for _ in range(max_new_tokens):
        feed = step(so_far).argmax(-1).tolist()
        so_far = [[*row, token] for row, token in zip(so_far, feed, strict=True)]
        for row in sorted(running):
            emitted[row].append(feed[row])
            if stop(feed[row], emitted[row][:-1]):
                running.discard(row)
        if not running:
            break
    return emitted


def whole_passes(loaded: Loaded, prompt: Sequence[int], listeners: Sequence[RowListener] = ()) -> Step:
    """A step that gives the next token as a pass over prompt and response so far does, for one row without masks.

    For responses during which the rotary frequencies change (`models.rotary`); what keeps its frequencies is reused.
    `listeners` get the attention rows of the last token of every pass.
    """
    prefix = PrefixCache(loaded)

    def step(so_far: Sequence[Sequence[int]]) -> torch.Tensor:
        ids = [*prompt, *so_far[0]]
        prefix.prefill(ids[:-1], ids, len(ids), len(ids) + 1)
        with branched(loaded, prefix.cache, listeners=listeners) as branch:
            return forward(loaded, [ids[-1:]], branch)

    return step
