"""Greedy decoding from a filled KV cache, one row or many, each row stopping by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch

from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import RowListener, branched
from retrieval_heads.models.architecture import first_device
from retrieval_heads.models.loading import Loaded

_newlines: WeakKeyDictionary[Any, frozenset[int]] = WeakKeyDictionary()
# Emitted ids of each row so far -> logits of the next token, [rows, vocabulary].
Step = Callable[[Sequence[Sequence[int]]], torch.Tensor]


class StopRule:
    """A row stops at an end token or at a newline behind some text; that token is kept.

    Newlines in front of the first text end nothing: many chat models begin with one.
    """

    def __init__(self, loaded: Loaded):
        self.tokenizer = loaded.tokenizer
        ends = loaded.model.generation_config.eos_token_id
        if ends is None:
            ends = loaded.tokenizer.eos_token_id
        self.ends = frozenset([ends] if isinstance(ends, int) else ends or ())
        self.stops = self.ends | newline_tokens(loaded.tokenizer)

    def __call__(self, token: int, before: Sequence[int] | None = None) -> bool:
        """Whether a row stops at `token`. before: what it emitted ahead of it; None where that is text."""
        if token not in self.stops or token in self.ends or before is None:
            return token in self.stops
        return "\n" in self.tokenizer.decode([token]).lstrip() or bool(self.text(list(before)))

    def text(self, ids: list[int]) -> str:
        """The response: its first line, without special tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip().split("\n")[0].strip()


def newline_tokens(tokenizer: Any) -> frozenset[int]:
    """Tokens whose text holds a newline, looked up once for each tokenizer."""
    if tokenizer not in _newlines:
        texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        _newlines[tokenizer] = frozenset(token for token, text in enumerate(texts) if "\n" in text)
    return _newlines[tokenizer]


@torch.inference_mode()
def predictions(
    loaded: Loaded, ids: Sequence[Sequence[int]], cache, positions: Sequence[Sequence[int]] | None = None
) -> torch.Tensor:
    """Feed equally long rows of token ids onto the cache; logits [rows, tokens, vocabulary] in the model's dtype.

    positions: of every token; None where all rows have come equally far.
    """
    device = first_device(loaded.model)
    options = {} if positions is None else {"position_ids": torch.tensor(positions, device=device)}
    batch = torch.tensor(ids, dtype=torch.long, device=device)
    last = [max(row) for row in positions] if positions else [cache.get_seq_length() + len(ids[0]) - 1]
    with loaded.info.rotary.onto(cache, [position + 1 for position in last]):
        return loaded.model(input_ids=batch, past_key_values=cache, use_cache=True, **options).logits


def forward(loaded: Loaded, ids: Sequence[Sequence[int]], cache) -> torch.Tensor | None:
    """Feed equally long rows of token ids onto the cache; the logits of each row's last token, in the model's dtype.

    ids: [rows][tokens]. Returns [rows, vocabulary], None when there are no tokens. Families that cannot take
    a block of tokens onto a filled cache get them one by one.
    """
    tokens = len(ids[0])
    at_once = tokens if loaded.info.takes_blocks else 1
    logits = None
    for start in range(0, tokens, max(1, at_once)):
        logits = predictions(loaded, [row[start : start + at_once] for row in ids], cache)[:, -1]
    return logits


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
