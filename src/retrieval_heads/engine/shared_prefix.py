"""Continue one prefilled prompt in one or many rows without copying its KV cache.

Each row keeps only the keys of its own new tokens. Attention over the prompt's keys is one product for all
rows, so that a batch of head sets costs little more than one row, in memory as in time, and the prompt's
cache stays as it was. Layers with a sliding window or a recurrent state are small and are copied for every
row.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers.cache_utils import Cache, DynamicLayer

from retrieval_heads.engine.attention.cached import joins
from retrieval_heads.engine.attention.cached import shared as attended_shared
from retrieval_heads.engine.attention.weights import attended, attention_rows
from retrieval_heads.models.attention_interface import NO_MASKS, intercepted
from retrieval_heads.models.loading import Loaded

# Options of an attention call that bear on its weights beyond queries, keys and their scale.
SPECIAL = ("softcap", "s_aux", "position_bias", "sliding_window")
# (layer, rows [batch, heads, queries, keys], position of the first key, values in parts as the keys); listeners of
# `Rows` can also `take_back` the last queries.
RowListener = Callable[[int, torch.Tensor, int, tuple[torch.Tensor, ...]], None]


class ContinuationLayer(DynamicLayer):
    """Cache layer that refers to a prompt's keys and values (one row) and stores those of new tokens (many rows)."""

    def __init__(self, prompt: DynamicLayer):
        super().__init__()
        self.prompt_keys, self.prompt_values = prompt.keys, prompt.values

    def get_seq_length(self) -> int:
        """Tokens of the prompt and after it."""
        return self.prompt_keys.shape[-2] + super().get_seq_length()


def copied_layer(layer, rows: int):
    """A copy of one cache layer that holds `rows` times its only row and shares no tensor with it."""
    twin = copy.copy(layer)
    for name, value in vars(twin).items():
        if isinstance(value, dict):
            setattr(twin, name, dict(value))
    # reorder_cache is the one operation that every kind of layer has; it selects rows, here the first one
    # again.
    twin.reorder_cache(torch.zeros(rows, dtype=torch.long, device=getattr(layer, "device", None)))
    return twin


@contextmanager
def branched(loaded: Loaded, cache: Cache, rows: int = 1, listeners: Sequence[RowListener] = ()) -> Iterator[Cache]:
    """A cache of `rows` rows that all continue the one row of `cache`, valid inside the block.

    `listeners` get the attention rows of every token that passes. Where nobody listens no rows are made, if the
    model's attention can do without them.
    """
    unheard = not listeners and joins(loaded)
    branch = copy.copy(cache)
    branch.layers = [
        ContinuationLayer(layer) if index in loaded.info.shareable else copied_layer(layer, rows)
        for index, layer in enumerate(cache.layers)
    ]

    def attend(module, query, key, value, mask, call, options):
        layer = branch.layers[module.layer_idx]
        shared = isinstance(layer, ContinuationLayer)
        keys = (layer.prompt_keys, key) if shared else (key,)
        values = (layer.prompt_values, value) if shared else (value,)
        if not shared and not listeners:
            return call(module, query, key, value, mask, **options)
        if unheard and not any(options.get(name) is not None for name in SPECIAL):
            return attended_shared(query, keys, values, options.get("scaling")).transpose(1, 2), None
        weights = attention_rows(query, keys, mask, **options)
        first = branch.get_seq_length() - weights.shape[-1]
        for listen in listeners:
            listen(module.layer_idx, weights, first, values)
        if not shared:
            return call(module, query, key, value, mask, **options)
        return attended(weights, values).transpose(1, 2), None

    with intercepted(loaded.model, attend, loaded.info.row_kernel, NO_MASKS if unheard else None):
        yield branch
