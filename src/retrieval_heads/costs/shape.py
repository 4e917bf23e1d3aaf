"""A whole model in numbers, from its config.json alone: parameters, KV cache, FLOPs.

Pure Python, so that the Snakefile can ask before any job runs and before any weight is there. The count of every family
in docs/architectures.md is compared with transformers' own by the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrieval_heads.costs.layers import GATED_OUTPUT, Attention, Part, attention, feed_forward, number, recurrent

# Families whose prefill needs an explicit attention matrix (soft caps and sinks are beyond SDPA).
EAGER = frozenset({"gemma2", "gpt_oss"})
# Input and output embeddings are one matrix where config.json says nothing.
TIED = frozenset(
    {"gpt2", "opt", "gemma", "gemma2", "gemma3", "gemma3_text", "gemma4_text", "cohere", "cohere2", "lfm2"}
)
# Where config.json lists no layer_types, every n-th layer sees all keys; the others are of the kind named.
PATTERNS = {
    "gemma2": (2, "sliding_attention"),
    "gemma3": (6, "sliding_attention"),
    "gemma3_text": (6, "sliding_attention"),
    "gpt_oss": (2, "sliding_attention"),
    "cohere2": (4, "sliding_attention"),
    "exaone4": (4, "sliding_attention"),
    "olmo3": (4, "sliding_attention"),
    **dict.fromkeys(GATED_OUTPUT, (4, "linear_attention")),
}
WINDOWED = ("sliding_attention", "chunked_attention")
SOFTMAX = ("full_attention", "attention", *WINDOWED)


@dataclass(frozen=True)
class Layer:
    """One layer: what mixes tokens, and its feed-forward part (see costs.layers).

    window: keys that the cache keeps, None for all. state: values that it keeps at any length.
    """

    mixer: Part
    mlp: Part
    window: int | None = None
    state: int = 0

    @property
    def attention(self) -> Attention | None:
        """Its softmax attention; None in a layer without."""
        return self.mixer if isinstance(self.mixer, Attention) else None

    @property
    def shareable(self) -> bool:
        """Whether head sets that are decoded side by side share one copy of its keys (engine/shared_prefix.py)."""
        return self.attention is not None and self.window is None and not self.attention.always

    def cached(self, tokens: int) -> int:
        """Values in its cache after `tokens` tokens."""
        return self.state + (self.attention.cached * self.keys(tokens) if self.attention else 0)

    def keys(self, tokens: int) -> int:
        """Keys that the cache holds after `tokens` tokens."""
        return tokens if self.window is None else min(tokens, self.window)

    def pairs(self, start: int, end: int) -> int:
        """(query, key) pairs of the tokens at positions [start, end), each seeing itself and those before it."""
        if self.window is None:
            return _triangle(end) - _triangle(start)
        grown = _triangle(min(end, self.window)) - _triangle(min(start, self.window))
        return grown + self.window * (max(end, self.window) - max(start, self.window))


@dataclass(frozen=True)
class Shape:
    """A model. embedding: stored values of input and output embeddings. eager: prefill by an explicit matrix.
    window: longest input in tokens, None when the configuration names none."""

    family: str
    hidden: int
    vocabulary: int
    embedding: int
    layers: tuple[Layer, ...]
    eager: bool
    window: int | None

    @property
    def parameters(self) -> int:
        """All parameters of the language model; two norms a layer and a last one."""
        norms = (2 * len(self.layers) + 1) * self.hidden
        return self.embedding + norms + sum(layer.mixer.stored + layer.mlp.stored for layer in self.layers)

    @property
    def heads(self) -> int:
        """Query heads of the layer that has most."""
        return max(layer.attention.heads for layer in self.layers if layer.attention)

    @property
    def windowed(self) -> bool:
        """Whether any layer keeps a window of keys only."""
        return any(layer.window is not None for layer in self.layers)

    def cached(self, tokens: int) -> int:
        """Values in the KV cache and the recurrent states after `tokens` tokens."""
        return sum(layer.cached(tokens) for layer in self.layers)

    def prefill_flops(self, start: int, end: int) -> int:
        """FLOPs of the tokens at positions [start, end): 2 a weight and token, 2 a value and (query, key) pair.

        Logits are not made in a prefill, so that the output embedding is not counted.
        """
        weights = sum(layer.mixer.used + layer.mlp.used for layer in self.layers)
        attended = sum(
            layer.attention.pair_values * layer.pairs(start, end) for layer in self.layers if layer.attention
        )
        return 2 * weights * (end - start) + 2 * attended


def read_shape(config: Mapping[str, Any]) -> Shape:
    """Numbers of a config.json. Raises `CostError` for a key that is needed and missing."""
    text = {**config, **(config.get("text_config") or {})}
    family = text.get("model_type", "llama")
    hidden, vocabulary = number(text, "hidden_size"), number(text, "vocab_size")
    kinds = layer_kinds(text, family, number(text, "num_hidden_layers"))
    return Shape(
        family=family,
        hidden=hidden,
        vocabulary=vocabulary,
        embedding=vocabulary * hidden * (1 if text.get("tie_word_embeddings", family in TIED) else 2),
        layers=tuple(_layer(text, family, index, kind) for index, kind in enumerate(kinds)),
        eager=family in EAGER or text.get("attn_logit_softcapping") is not None,
        window=number(text, "max_position_embeddings", 0) or None,
    )


def layer_kinds(config: Mapping[str, Any], family: str, count: int) -> list[str]:
    """The kind of each layer, as transformers' cache sees it."""
    if config.get("layer_types"):
        return list(config["layer_types"])
    if family in PATTERNS:
        every, other = PATTERNS[family]
        every = config.get("full_attention_interval") or config.get("sliding_window_pattern") or every
        return ["full_attention" if (index + 1) % every == 0 else other for index in range(count)]
    windowed = config.get("sliding_window") is not None and config.get("use_sliding_window", True)
    first = number(config, "max_window_layers", count) if family.startswith("qwen") else 0
    return ["sliding_attention" if windowed and index >= first else "full_attention" for index in range(count)]


def _layer(config: Mapping[str, Any], family: str, index: int, kind: str) -> Layer:
    mlp = feed_forward(config, family, index)
    if kind not in SOFTMAX:
        part, state = recurrent(config, kind)
        return Layer(part, mlp, state=state)
    window = (config.get("sliding_window") or config.get("attention_chunk_size")) if kind in WINDOWED else None
    return Layer(attention(config, family), mlp, window)


def _triangle(tokens: int) -> int:
    return tokens * (tokens + 1) // 2
