"""Continue several prefilled prompts side by side, each row from a KV cache of its own.

The model's matrices are read once for all rows. Attention is computed row by row against the row's own keys, so that
prompts of different lengths need neither padding nor masks, and each row takes tokens back by itself. For models
whose layers all keep all keys (`ModelInfo.takes_back`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers.cache_utils import Cache, DynamicLayer

from retrieval_heads.engine.attention_weights import attended, attention_rows
from retrieval_heads.engine.decoding import predictions
from retrieval_heads.engine.shared_prefix import RowListener
from retrieval_heads.models.attention_interface import NO_MASKS, intercepted
from retrieval_heads.models.loading import Loaded


class RowsLayer(DynamicLayer):
    """Cache layer that refers to the keys and values of several prompts and stores those of each one's new tokens.

    running: rows that the next tokens belong to, in their order.
    """

    def __init__(self, prompts: Sequence[DynamicLayer]):
        super().__init__()
        self.prompts = [(prompt.keys, prompt.values) for prompt in prompts]
        self.new = [(keys[..., :0, :], values[..., :0, :]) for keys, values in self.prompts]
        self.running: Sequence[int] = ()

    def update(self, key_states, value_states, *args, **kwargs):
        """Store the new tokens' keys and values of the running rows."""
        for place, row in enumerate(self.running):
            added = (key_states[place, None], value_states[place, None])
            self.new[row] = tuple(torch.cat(pair, dim=-2) for pair in zip(self.new[row], added, strict=True))
        return key_states, value_states

    def parts(self, row: int) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """Keys and values of one row, each as prompt and new tokens, [1, kv_heads, tokens, head_dim]."""
        keys, values = zip(self.prompts[row], self.new[row], strict=True)
        return keys, values

    def take_back(self, row: int, tokens: int) -> None:
        """Forget the last tokens of one row."""
        left = self.new[row][0].shape[-2] - tokens
        self.new[row] = tuple(part[..., :left, :] for part in self.new[row])

    def length(self, row: int) -> int:
        """Tokens of one row."""
        return self.prompts[row][0].shape[-2] + self.new[row][0].shape[-2]

    def get_seq_length(self) -> int:
        """Tokens of the longest row."""
        return max(map(self.length, range(len(self.prompts))))


class Rows:
    """Prompts that are continued side by side; made by `side_by_side`."""

    def __init__(self, loaded: Loaded, cache: Cache, listeners: Sequence[Sequence[RowListener]]):
        self.loaded, self.cache, self.listeners = loaded, cache, listeners
        self.wholes = cache.whole

    def feed(self, running: Sequence[int], ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """Feed equally many tokens onto each of the `running` rows; logits [running, tokens, vocabulary]."""
        for layer in self.cache.layers:
            layer.running = running
        self.cache.whole = [self.wholes[row] for row in running]
        first = [self.cache.layers[0].length(row) for row in running]
        positions = [list(range(start, start + len(ids[0]))) for start in first]
        return predictions(self.loaded, ids, self.cache, positions)

    def take_back(self, row: int, tokens: int) -> None:
        """Forget the last tokens of one row, and what its listeners heard of them."""
        if tokens:
            for layer in self.cache.layers:
                layer.take_back(row, tokens)
            for listener in self.listeners[row]:
                listener.take_back(tokens)

    def attend(self, module, query, key, value, mask, call, options):
        """Attention of every running row over its own keys; an interceptor (models/attention_interface.py)."""
        layer, outputs = self.cache.layers[module.layer_idx], []
        for place, row in enumerate(layer.running):
            keys, values = layer.parts(row)
            weights = attention_rows(query[place, None], keys, None, **options)
            for listen in self.listeners[row]:
                listen(module.layer_idx, weights, 0, values)
            outputs.append(attended(weights, values))
        return torch.cat(outputs).transpose(1, 2), None


@contextmanager
def side_by_side(loaded: Loaded, caches: Sequence[Cache], listeners: Sequence[Sequence[RowListener]]) -> Iterator[Rows]:
    """Rows that continue one prompt each, valid inside the block; the caches are not touched.

    listeners: of each row, told the attention rows of every token of that row.
    """
    cache = copy.copy(caches[0])
    cache.layers = [RowsLayer(layers) for layers in zip(*(one.layers for one in caches), strict=True)]
    cache.whole = [whole for one in caches for whole in getattr(one, "whole", (one.get_seq_length(),))]
    rows = Rows(loaded, cache, listeners)
    with intercepted(loaded.model, rows.attend, loaded.info.row_kernel, NO_MASKS):
        yield rows
