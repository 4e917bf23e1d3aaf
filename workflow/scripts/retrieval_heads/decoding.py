"""Greedy decoding from a KV cache, in a batch whose rows finish on their own."""

from __future__ import annotations

from collections.abc import Callable

import torch


def stop_tokens(model, tokenizer) -> frozenset[int]:
    """Tokens that end an answer: every end-of-sequence token, and all whose text holds a newline."""
    ends = [tokenizer.eos_token_id, model.config.eos_token_id, model.generation_config.eos_token_id]
    flat = [token for end in ends for token in (end if isinstance(end, list) else [end]) if token is not None]
    pieces = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return frozenset(flat) | {token for token, text in enumerate(pieces) if "\n" in text}


@torch.inference_mode()
def greedy(
    model,
    cache,
    last: torch.Tensor,
    stops: frozenset[int],
    max_new_tokens: int,
    before_step: Callable[[], None] = lambda: None,
) -> list[list[int]]:
    """Answer from a cache that holds everything but the last prompt token.

    last: int64 [batch, 1]. Returns the emitted tokens of every row, the stop token included. `before_step` is called
    before each forward pass. The cache grows in place.
    """
    answers: list[list[int]] = [[] for _ in last]
    running = set(range(len(last)))
    for _ in range(max_new_tokens):
        before_step()
        logits = model(input_ids=last, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        last = logits[:, -1].argmax(-1, keepdim=True)
        for row, token in enumerate(last[:, 0].tolist()):
            if row in running:
                answers[row].append(token)
                if token in stops:
                    running.discard(row)
        if not running:
            break
    return answers


def response_text(tokenizer, ids: list[int], stops: frozenset[int]) -> str:
    """The answer as text, without the token that ended it."""
    kept = ids[:-1] if ids and ids[-1] in stops else ids
    return tokenizer.decode(kept, skip_special_tokens=True).strip()
