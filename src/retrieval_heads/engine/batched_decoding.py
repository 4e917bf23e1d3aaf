"""Continue prefilled prompts in many rows side by side, each row behind a prompt that others may share.

The model's matrices are read once for all rows. The new tokens of all rows go through the model as one sequence, so
that rows may take different numbers of tokens without padding; attention alone knows which row a token belongs to. It
is computed over each prompt's keys once for all of its rows and over the rows' own keys at once, and joined. Rows whose
attention weights are listened to get them row by row. For models whose layers all keep all keys
(`ModelInfo.takes_back`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby, pairwise

import torch
from transformers.cache_utils import Cache, DynamicLayer

from retrieval_heads.engine.attention.cached import attended_apart, joined, joins
from retrieval_heads.engine.attention.weights import attended, attention_rows, key_logits, weighted_values
from retrieval_heads.engine.forward_calls import predictions
from retrieval_heads.engine.shared_prefix import SPECIAL, RowListener
from retrieval_heads.models.attention_interface import NO_MASKS, intercepted
from retrieval_heads.models.loading import Loaded

# Tokens by which the room for each row's own keys grows.
ROOM = 64


@dataclass(frozen=True)
class _Tokens:
    """The new tokens of one call, those of a row together.

    slot, place: of each token, the slot of its row and its place among the row's own tokens, int64 [tokens]. spans: of
    each row, its tokens. padded: int64 [slots, widest], tokens of each slot, filled up with any. offset: place of each
    token in its line of `padded`. hidden: bool [slots, 1, widest, longest], own keys that a token does not see.
    """

    slot: torch.Tensor
    place: torch.Tensor
    spans: tuple[slice, ...]
    padded: torch.Tensor
    offset: torch.Tensor
    hidden: torch.Tensor
    _there: dict[torch.device, _Tokens] = field(default_factory=dict)

    @classmethod
    def of(cls, held: Sequence[int], widths: Sequence[int], slots: Sequence[int], size: int) -> _Tokens:
        """held: own tokens that each row has already. widths: tokens that each gets. slots: of the rows, of `size`."""
        spans = tuple(slice(*pair) for pair in pairwise(accumulate(widths, initial=0)))
        slot = torch.tensor(slots).repeat_interleave(torch.tensor(widths))
        offset = torch.cat([torch.arange(width) for width in widths])
        place = torch.tensor(held).repeat_interleave(torch.tensor(widths)) + offset
        padded = torch.zeros(size, max(widths), dtype=torch.long)
        padded[slot, offset] = torch.arange(len(slot))
        longest = max(map(sum, zip(held, widths, strict=True)))
        hidden = torch.arange(longest) > place[padded][:, None, :, None]
        return cls(slot, place, spans, padded, offset, hidden)

    def on(self, device: torch.device) -> _Tokens:
        """The same on a device; copied once, and not for every layer."""
        if device not in self._there:
            names = ("slot", "place", "padded", "offset", "hidden")
            self._there[device] = replace(self, **{name: getattr(self, name).to(device) for name in names})
        return self._there[device]


class RowsLayer(DynamicLayer):
    """Cache layer that refers to the rows' prompts and stores the keys and values of their own tokens.

    prompts: of each row, keys and values [1, kv_heads, tokens, dim]. own: keys and values [slots, kv_heads, room, dim].
    """

    def __init__(self):
        super().__init__()
        self.prompts: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.own: list[torch.Tensor] = []
        self.tokens: _Tokens | None = None
        self.longest = 0

    def add(self, prompt: DynamicLayer, rows: int, slots: int) -> None:
        """Take up rows that continue one prompt, and so many new slots."""
        pair = (prompt.keys, prompt.values)
        room = self.own[0].shape[2] if self.own else ROOM
        if slots:
            fresh = [part.new_zeros(slots, part.shape[1], room, part.shape[3]) for part in pair]
            self.own = [torch.cat(parts) for parts in zip(self.own, fresh, strict=True)] if self.own else fresh
        self.prompts += [pair] * rows

    def update(self, key_states, value_states, *args, **kwargs):
        """Store the keys and values of the tokens at hand."""
        tokens = self.tokens.on(key_states.device)
        missing = tokens.hidden.shape[-1] - self.own[0].shape[2]
        for number, new in enumerate((key_states, value_states)):
            if missing > 0:
                self.own[number] = _lengthened(self.own[number], -(-missing // ROOM) * ROOM)
            self.own[number][tokens.slot, :, tokens.place] = new[0].transpose(0, 1)
        return key_states, value_states

    def parts(self, row: int, slot: int, own: int) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """Keys and values of one row with `own` tokens, each as prompt and own tokens, [1, kv_heads, tokens, dim]."""
        keys, values = zip(self.prompts[row], (part[slot, None, :, :own] for part in self.own), strict=True)
        return keys, values

    def get_seq_length(self) -> int:
        """Tokens of the longest row."""
        return self.longest


def _lengthened(part: torch.Tensor, tokens: int) -> torch.Tensor:
    return torch.cat([part, part.new_zeros(*part.shape[:2], tokens, part.shape[3])], dim=2)


class Rows:
    """Rows that continue prompts side by side, in an order in which those of one prompt stand together.

    held: own tokens of each row. slots: where each row's own keys are; a row that leaves frees its slot for another.
    """

    def __init__(self, loaded: Loaded):
        self.loaded = loaded
        self.held: list[int] = []
        self.slots: list[int] = []
        self.size = 0
        self.listeners: list[Sequence[RowListener]] = []
        self.starts: list[int] = []
        self.cache: Cache | None = None

    def add(self, cache: Cache, rows: int = 1, listeners: Sequence[RowListener] = ()) -> None:
        """Take up rows that continue one prompt, whose cache is not touched.

        listeners: told the attention rows of every token of these rows.
        """
        if self.cache is None:
            self.cache = copy.copy(cache)
            self.cache.layers = [RowsLayer() for _ in cache.layers]
            self.cache.whole = (0,)
        free = sorted(set(range(self.size)) - set(self.slots))
        new = max(0, rows - len(free))
        for layer, prompt in zip(self.cache.layers, cache.layers, strict=True):
            layer.add(prompt, rows, new)
        self.slots += [*free, *range(self.size, self.size + new)][:rows]
        self.size += new
        length = cache.get_seq_length()
        whole = max(getattr(cache, "whole", (length,)))
        self.cache.whole = (max(whole, *self.cache.whole),)
        if not self.loaded.info.rotary.same_frequencies(whole, *self.cache.whole):
            raise ValueError("rows of different rotary frequencies cannot be continued side by side")
        self.starts += [length] * rows
        self.held += [0] * rows
        self.listeners += [listeners] * rows

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all rows but these."""
        self.starts, self.held, self.slots, self.listeners = (
            [values[row] for row in rows] for values in (self.starts, self.held, self.slots, self.listeners)
        )
        # Slots are moved together when half of them are free, and not for every row that leaves.
        fewer = 2 * len(rows) <= self.size
        for layer in self.cache.layers:
            layer.prompts = [layer.prompts[row] for row in rows]
            if fewer:
                layer.own = [part[self.slots] for part in layer.own]
        if fewer:
            self.slots, self.size = list(range(len(rows))), len(rows)

    def feed(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """Feed tokens onto every row, each as many as it has; logits [tokens of all rows, vocabulary]."""
        widths = [len(row) for row in ids]
        tokens = _Tokens.of(self.held, widths, self.slots, self.size)
        positions = [
            start + own + new
            for start, own, width in zip(self.starts, self.held, widths, strict=True)
            for new in range(width)
        ]
        for layer in self.cache.layers:
            layer.tokens, layer.longest = tokens, max(map(sum, zip(self.starts, self.held, strict=True)))
        self.held = [own + width for own, width in zip(self.held, widths, strict=True)]
        return predictions(self.loaded, [[token for row in ids for token in row]], self.cache, [positions])[0]

    def take_back(self, row: int, tokens: int) -> None:
        """Forget the last tokens of one row, and what its listeners heard of them."""
        if tokens:
            self.held[row] -= tokens
            for listener in self.listeners[row]:
                listener.take_back(tokens)

    @contextmanager
    def attending(self) -> Iterator[None]:
        """Inside the block the model attends as rows do; `feed` needs it."""
        with intercepted(self.loaded.model, self._attend, self.loaded.info.row_kernel, NO_MASKS):
            yield

    def _attend(self, module, query, key, value, mask, call, options):
        layer = self.cache.layers[module.layer_idx]
        special = any(options.get(name) is not None for name in SPECIAL)
        if special or any(self.listeners) or not joins(self.loaded):
            return self._row_by_row(layer, module.layer_idx, query, options).transpose(1, 2), None
        scale = options.get("scaling")
        before, weight = self._over_prompts(layer, query, scale)
        return joined(*_over_own(layer, query, scale), before, weight).transpose(1, 2), None

    def _row_by_row(self, layer: RowsLayer, index: int, query: torch.Tensor, options) -> torch.Tensor:
        """Every row attends over its own keys, and its listeners hear the weights."""
        outputs = []
        for row, span in enumerate(layer.tokens.spans):
            keys, values = layer.parts(row, self.slots[row], self.held[row])
            weights = attention_rows(query[:, :, span], keys, None, **options)
            for listen in self.listeners[row]:
                listen(index, weights, 0, values)
            outputs.append(attended(weights, values))
        return torch.cat(outputs, dim=2)

    def _over_prompts(self, layer: RowsLayer, query: torch.Tensor, scale: float | None):
        """Output [1, heads, tokens, value_dim] and log-sum-exp [1, heads, tokens] over the prompts' keys."""
        parts = []
        for _, rows in groupby(range(len(layer.prompts)), key=lambda row: id(layer.prompts[row][0])):
            first, *others = rows
            last = others[-1] if others else first
            span = slice(layer.tokens.spans[first].start, layer.tokens.spans[last].stop)
            parts.append(attended_apart(query[:, :, span], *layer.prompts[first], scale))
        outputs, weights = zip(*parts, strict=True)
        return torch.cat(outputs, dim=2), torch.cat(weights, dim=2)


def _over_own(layer: RowsLayer, query: torch.Tensor, scale: float | None) -> tuple[torch.Tensor, torch.Tensor]:
    """As `Rows._over_prompts`, over the own tokens of the rows."""
    tokens = layer.tokens.on(query.device)
    longest = tokens.hidden.shape[-1]
    keys, values = (part[:, :, :longest] for part in layer.own)
    padded = query[0].transpose(0, 1)[tokens.padded].transpose(1, 2)
    logits = key_logits(padded, keys) * (query.shape[-1] ** -0.5 if scale is None else scale)
    logits = logits.masked_fill(tokens.hidden, -torch.inf)
    output = weighted_values(logits.softmax(-1), values)
    real = (tokens.slot, slice(None), tokens.offset)
    return output[real].transpose(0, 1)[None], logits.logsumexp(-1)[real].T[None]
