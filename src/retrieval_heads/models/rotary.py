"""Rotary embeddings whose frequencies depend on how long a sequence is: `longrope` and `dynamic`.

transformers chooses their frequencies at every call by the longest position of that call (`dynamic_rope_update`). Keys
that stand in a cache were then turned with other frequencies than the tokens behind them, as soon as a sequence is fed
in parts whose ends lie on different sides of the original window; a batch is turned as its longest row; and `dynamic`
keeps the frequencies of the longest sequence so far for the next prompt.

What is right here is the model run on the whole sequence at once: a prompt's tokens have the frequencies of the prompt,
and each token of a response comes from a pass over the prompt and the response so far. Phi-3's own `generate` does the
same when it drops its cache on the border. So a part of a sequence is turned as the whole of it (`Rotary.onto`,
`Rotary.pinned`), keys are reused only between sequences of the same frequencies (`Rotary.choice`), and a response
during which the frequencies change is decoded by whole passes (`Rotary.settled`, `engine.single_steps.whole_passes`).
That costs `longrope` one more prefill for a response that crosses the original window, and `dynamic` a prefill for
every token above it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from retrieval_heads.models.unsupported import ModelError, text_config

# Frequencies that are the same at every call. ASSUME: transformers 5.23; what it adds is refused until it is tried.
FIXED = ("default", "linear", "llama3", "proportional", "yarn")
BY_LENGTH = ("dynamic", "longrope")


class FrequencyError(RuntimeError):
    """Tokens that cannot follow the keys of a cache, which were turned with other frequencies."""


def settings(config: Any) -> list[dict[str, Any]]:
    """The rotary settings of a configuration, one for each kind of layer that has its own; none without rotation."""
    text = text_config(config)
    found = getattr(text, "rope_parameters", None) or {}
    # Nested by kind of layer, or one mapping of numbers and names.
    parts = [part for part in found.values() if isinstance(part, dict)] or [found]
    return [part for part in parts if part]


def refuse_untried(config: Any) -> None:
    """Raise `ModelError` for a rotary type that was never tried with prompts that are read in parts."""
    for part in settings(config):
        kind = part.get("rope_type", part.get("type", "default"))
        if kind not in (*FIXED, *BY_LENGTH):
            raise ModelError(
                f"model type '{text_config(config).model_type}' cannot be probed: its rotary type '{kind}' was not "
                f"tried with prompts that are read in parts, so that its numbers may be wrong (tried: "
                f"{', '.join(sorted((*FIXED, *BY_LENGTH)))}); choose another model, or set models.<name>.rope"
            )


def set_window(config: Any, window: int) -> None:
    """Put another longest input into a configuration and leave its frequencies as they are.

    transformers takes `max_position_embeddings` for the original window of `dynamic`, and makes the factor that a
    checkpoint with `longrope` or `yarn` does not name out of it.
    """
    text = text_config(config)
    for part in settings(config):
        if part.get("rope_type") in ("longrope", "yarn") and part.get("factor") is None:
            part["factor"] = text.max_position_embeddings / part["original_max_position_embeddings"]
    if any(part.get("rope_type") == "dynamic" for part in settings(config)):
        text.longest_input = window
    else:
        text.max_position_embeddings = window


def window(config: Any) -> int | None:
    """Longest input in tokens, None when the configuration names none."""
    text = text_config(config)
    return getattr(text, "longest_input", None) or getattr(text, "max_position_embeddings", None)


def fix_frequencies(config: Any) -> None:
    """Give a configuration plain frequencies, for a model without values that is only looked at."""
    for part in settings(config):
        if part.get("rope_type") in BY_LENGTH:
            part["rope_type"] = "default"


class _ByLength:
    """Stands for the forward call of one rotary embedding; `lengths`: tokens of the whole sequences, one or one a row.

    The frequencies are chosen by transformers, from one more position that is put behind the others and taken away
    again: the last one of the whole sequence. Without lengths they are those of the positions at hand.
    """

    def __init__(self, module: torch.nn.Module):
        self.module, self.call = module, module.forward
        kinds = module.rope_type if isinstance(module.rope_type, Mapping) else {None: module.rope_type}
        self.kinds = {layer_type: kind for layer_type, kind in kinds.items() if kind in BY_LENGTH}
        self.lengths: Sequence[int] = ()

    def choice(self, length: int) -> tuple[int, ...]:
        """Equal for lengths of the same frequencies."""
        return tuple(self._choice(layer_type, length) for layer_type in self.kinds)

    def _choice(self, layer_type: str | None, length: int) -> int:
        if self.kinds[layer_type] == "dynamic":
            return max(length, self.module.original_max_seq_len)
        part = self.module.config.rope_parameters
        part = part if layer_type is None else part[layer_type]
        return int(length > part["original_max_position_embeddings"])

    def __call__(self, x: torch.Tensor, position_ids: torch.Tensor, *args, **options):
        if len({self.choice(length) for length in self.lengths}) < 2:
            return self._turn(x, position_ids, max(self.lengths, default=None), *args, **options)
        shape = (*position_ids.shape[:-2], len(self.lengths), position_ids.shape[-1])
        rows = position_ids.expand(shape).split(1, dim=-2)
        turned = [self._turn(x, row, length, *args, **options) for row, length in zip(rows, self.lengths, strict=True)]
        return _each(lambda *parts: torch.cat(parts, dim=-3), *turned)

    def _turn(self, x, position_ids, length: int | None, *args, **options):
        self._forget(position_ids.device)
        if length is None:
            return self.call(x, position_ids, *args, **options)
        last = position_ids.new_full((*position_ids.shape[:-1], 1), length - 1)
        # What lies behind the end is padding: it must not choose.
        positions = torch.cat([position_ids.clamp(max=length - 1), last], dim=-1)
        turned = self.call(x, positions, *args, **options)
        return _each(lambda part: part[..., :-1, :], turned)

    def _forget(self, device: torch.device) -> None:
        """Put `dynamic` back to where it begins: else it keeps the frequencies of a longer sequence before."""
        for layer_type, kind in self.kinds.items():
            if kind == "dynamic":
                prefix = "" if layer_type is None else f"{layer_type}_"
                begun = getattr(self.module, f"{prefix}original_inv_freq").to(device)
                self.module.register_buffer(f"{prefix}inv_freq", begun, persistent=False)
                setattr(self.module, f"{prefix}max_seq_len_cached", self.module.original_max_seq_len)


def _each(change, *results):
    """Apply `change` to cosines and to sines, or to the one tensor of families that join them."""
    if isinstance(results[0], tuple):
        return tuple(change(*parts) for parts in zip(*results, strict=True))
    return change(*results)


@dataclass(frozen=True)
class Rotary:
    """The rotary embeddings of a model whose frequencies depend on the length; none in most models."""

    embeddings: tuple[_ByLength, ...] = ()

    def choice(self, length: int) -> tuple[tuple[int, ...], ...]:
        """What stands for the frequencies of a sequence of `length` tokens: equal for equal frequencies."""
        return tuple(embedding.choice(length) for embedding in self.embeddings)

    def same_frequencies(self, first: int, last: int) -> bool:
        """Whether sequences of `first` to `last` tokens all have the same frequencies."""
        return self.choice(first) == self.choice(last)

    @contextmanager
    def pinned(self, lengths: Sequence[int]) -> Iterator[None]:
        """Turn tokens that are fed inside as parts of sequences so long: one length, or one for each row.

        What is fed beyond its length must be padding.
        """
        before = [embedding.lengths for embedding in self.embeddings]
        try:
            for embedding in self.embeddings:
                embedding.lengths = lengths
            yield
        finally:
            for embedding, lengths_before in zip(self.embeddings, before, strict=True):
                embedding.lengths = lengths_before

    @contextmanager
    def onto(self, cache: Any, reached: Sequence[int]) -> Iterator[None]:
        """Feed tokens onto a cache inside, turned as the keys that it holds.

        reached: length of the sequence when these tokens have been fed, or of one that they are part of; one, or one
        for each row. An empty cache takes it; one that was filled elsewhere was so in one pass. Raises
        `FrequencyError` where the tokens want other frequencies than the keys have.
        """
        if not self.embeddings:
            yield
            return
        if getattr(cache, "whole", None) is None:
            held = cache.get_seq_length()
            cache.whole = (held,) if held else tuple(reached)
        for whole, length in zip(cache.whole, reached, strict=True):
            if not self.same_frequencies(whole, max(whole, length)):
                raise FrequencyError(
                    f"the cached keys have the rotary frequencies of {whole} tokens, those of {length} differ; "
                    "prefill the whole sequence anew (engine.single_steps.whole_passes)"
                )
        with self.pinned([max(pair) for pair in zip(cache.whole, reached, strict=True)]):
            yield


# Of models whose frequencies are the same at every call.
ALWAYS_THE_SAME = Rotary()


def rotary(model: torch.nn.Module) -> Rotary:
    """Take hold of the rotary embeddings of a model whose frequencies depend on the length; they stay so."""
    found = []
    for module in model.modules():
        if isinstance(module.forward, _ByLength):
            found.append(module.forward)
        elif getattr(module, "rope_type", None) is not None and (taken := _ByLength(module)).kinds:
            module.forward = taken
            found.append(taken)
    return Rotary(tuple(found))
