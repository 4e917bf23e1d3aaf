"""Numbers of one layer from a config.json: attention, feed-forward and what takes the place of attention in hybrids.

All counts are values (not bytes). h: hidden size, n and m: query and KV heads, d: head size, i: feed-forward width.
Biases of feed-forward layers and norms beyond two a layer are left out: below 0.1 % of a model of a billion parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]
# Names of one number in different families (transformers' `attribute_map`).
ALIASES = {
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "num_layers"),
    "num_attention_heads": ("n_head",),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size"),
    "max_position_embeddings": ("n_positions",),
    "num_experts": ("num_local_experts", "n_routed_experts"),
    "num_experts_per_tok": ("moe_topk",),
}
UNGATED = frozenset({"gpt2", "gpt_neox", "gpt_bigcode", "opt", "phi", "starcoder2", "nemotron"})
BIASED = frozenset({"qwen2", "qwen2_moe"})
# One matrix makes gate and up together.
FUSED = frozenset({"phi3", "glm4"})
# Their experts are as wide as `intermediate_size` says.
PLAIN_EXPERTS = frozenset({"mixtral", "gpt_oss", "llama4_text", "phimoe", "jamba", "granitemoe"})
# The query projection also makes a gate for the head's output.
GATED_OUTPUT = frozenset({"qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"})


class CostError(ValueError):
    """A cost that cannot be computed or paid; the message names the key, the value and the remedy."""


@dataclass(frozen=True)
class Part:
    """A part of a layer.

    stored: parameters. used: those that one token is multiplied with. width: values per token alive at its peak,
    besides the residual stream; width32: the same, kept in float32 whatever the model's dtype.
    """

    stored: int
    used: int
    width: int
    width32: int = 0


@dataclass(frozen=True)
class Attention(Part):
    """Softmax attention. heads: query heads. cached: values per token in the KV cache.

    pair_values: heads x (key size + value size), the values multiplied for one (query, key) pair. expanded: values made
    anew for every key of the cache when queries attend to it; always: also without a mask.
    """

    heads: int = 0
    pair_values: int = 0
    cached: int = 0
    expanded: int = 0
    always: bool = False


def number(config: Config, name: str, default: int | None = None) -> int:
    """A number of the configuration under any of its names. Raises `CostError` for other values and where none is."""
    for key in (name, *ALIASES.get(name, ())):
        if config.get(key) is not None:
            if type(config[key]) not in (int, float):
                raise CostError(f"config.json: the key '{key}' is no number ({config[key]!r}); mend it there")
            return config[key]
    if default is None:
        raise CostError(f"config.json: the key '{name}' is missing; add it to the architecture file of this model")
    return default


def attention(config: Config, family: str) -> Attention:
    """Grouped-query attention, or multi-head latent attention where `kv_lora_rank` is set.

    Stored: q and output 2·h·n·d (3·h·n·d with a gate), k and v 2·h·m·d. Cached: 2·m·d. Alive: q before and after its
    rotation, its rotated half, the output, k and v before they reach the cache. SDPA under a mask repeats k and v for
    every query head: 2·n·d.
    """
    if config.get("kv_lora_rank"):
        return _latent(config)
    hidden, heads = number(config, "hidden_size"), number(config, "num_attention_heads")
    kv_heads = config.get("num_key_value_heads") or heads
    size = config.get("head_dim") or hidden // heads
    query, key = heads * size, kv_heads * size
    stored = hidden * (query * (3 if family in GATED_OUTPUT else 2) + 2 * key)
    if config.get("attention_bias") or family in BIASED:
        stored += query + 2 * key
    expanded = 2 * query if kv_heads < heads else 0
    return Attention(
        stored, stored, 4 * query + 2 * key, heads=heads, pair_values=2 * query, cached=2 * key, expanded=expanded
    )


def _latent(config: Config) -> Attention:
    """Multi-head latent attention (https://arxiv.org/abs/2405.04434, section 2.1).

    The cache holds the latent vector and the rotated key; keys and values are expanded to every head at each call.
    """
    hidden, heads = number(config, "hidden_size"), number(config, "num_attention_heads")
    rank, rotated = config["kv_lora_rank"], config["qk_rope_head_dim"]
    key, value = config["qk_nope_head_dim"] + rotated, config["v_head_dim"]
    query_rank = config.get("q_lora_rank")
    query = query_rank * (hidden + heads * key) if query_rank else hidden * heads * key
    stored = query + hidden * (rank + rotated) + rank * heads * (key - rotated + value) + heads * value * hidden
    pair = heads * (key + value)
    return Attention(
        stored,
        stored,
        2 * heads * key + heads * value,
        heads=heads,
        pair_values=pair,
        cached=rank + rotated,
        expanded=pair + heads * (key - rotated),
        always=True,
    )


def feed_forward(config: Config, family: str, index: int) -> Part:
    """Dense: 3·h·i (2·h·i without a gate); experts: those of every expert, the router and the shared ones.

    Alive: gate, up and their product (3·i, or 4·i where one matrix makes gate and up) for each expert of a token.
    """
    hidden, matrices = number(config, "hidden_size"), 2 if family in UNGATED else 3
    dense = config.get("intermediate_size_mlp") or number(config, "intermediate_size", 4 * hidden)
    experts = number(config, "num_experts", 0)
    if not experts or index < (config.get("first_k_dense_replace") or 0):
        width = (4 if family in FUSED else matrices) * dense
        return Part(matrices * hidden * dense, matrices * hidden * dense, width)
    own = None if family in PLAIN_EXPERTS else config.get("moe_intermediate_size")
    wide = own or number(config, "intermediate_size")
    chosen = number(config, "num_experts_per_tok")
    shared = config.get("shared_expert_intermediate_size") or (config.get("n_shared_experts") or 0) * wide
    fixed = hidden * experts + 3 * hidden * shared
    one = 3 * hidden * wide
    return Part(experts * one + fixed, chosen * one + fixed, chosen * (4 * wide + hidden) + 3 * shared)


def recurrent(config: Config, kind: str) -> tuple[Part, int]:
    """What a layer without softmax attention has in its place, and its state in values, the same at any length.

    linear_attention: gated delta net (https://arxiv.org/abs/2412.06464). Any other kind is counted as a Mamba layer,
    6·h² (https://arxiv.org/abs/2312.00752): an estimate.
    """
    hidden = number(config, "hidden_size")
    if kind == "linear_attention" and "linear_num_value_heads" in config:
        key = config["linear_num_key_heads"] * config["linear_key_head_dim"]
        value = config["linear_num_value_heads"] * config["linear_value_head_dim"]
        kernel = config["linear_conv_kernel_dim"]
        inner, gates = 2 * key + value, 2 * config["linear_num_value_heads"]
        stored = hidden * (inner + 2 * value + gates) + inner * kernel
        # ASSUME: transformers' own chunked form, which keeps some 11 float32 copies; the kernels of
        # flash-linear-attention need less.
        width32 = (
            11
            * config["linear_num_value_heads"]
            * (config["linear_key_head_dim"] + config["linear_value_head_dim"])
            // 2
        )
        return Part(stored, stored, inner + value, width32), value * config["linear_key_head_dim"] + inner * kernel
    return Part(6 * hidden**2, 6 * hidden**2, 8 * hidden), 2 * hidden * 128
