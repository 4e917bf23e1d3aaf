"""Attention of new tokens behind a filled cache, on flash kernels and without a mask.

SDPA has no causal kernel for queries that begin behind the first key: it wants a mask of queries x keys, and is slower
with it. Here the cached keys, which every new token sees, and the new tokens among themselves are attended to apart;
the two are joined by the log-sum-exp of each, as in ring attention (https://arxiv.org/abs/2310.01889).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache

import torch
from torch.nn.functional import scaled_dot_product_attention

from retrieval_heads.engine.attention.weights import key_logits, weighted_values
from retrieval_heads.models.architecture import first_device
from retrieval_heads.models.attention_interface import NO_MASKS, intercepted
from retrieval_heads.models.loading import Loaded

logger = logging.getLogger(__name__)
# What SDPA itself calls; these return the log-sum-exp beside the output.
KERNELS = {
    "cpu": torch.ops.aten._scaled_dot_product_flash_attention_for_cpu,
    "cuda": torch.ops.aten._scaled_dot_product_flash_attention,
}
FALLBACK = "Tokens behind a filled cache are fed with a mask, which is slower: attention without one cannot be used"
# Queries that are joined in float32 at a time: three float32 copies of a long prompt's outputs take gigabytes.
JOINED = 1024
# Largest difference from SDPA in the trial, by the bytes of a value.
TOLERANCE = {4: 1e-4, 2: 3e-2}


def continued(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    """Causal attention of queries that are the last tokens of the keys, [batch, heads, queries, value_dim].

    query: [batch, heads, queries, head_dim]. key, value: [batch, kv_heads, keys, ...], more keys than queries.
    scale: 1/sqrt(head_dim) when None.
    """
    heads, kv_heads, cached = query.shape[1], key.shape[1], key.shape[2] - query.shape[2]
    before, weight_before = attended_apart(query, key[:, :, :cached], value[:, :, :cached], scale)
    own = (part[:, :, cached:] for part in (key, value))
    if heads > kv_heads:
        own = (part.repeat_interleave(heads // kv_heads, dim=1) for part in own)
    within, weight_within = KERNELS[query.device.type](query, *own, 0.0, True, scale=scale)[:2]
    return joined(within, weight_within, before, weight_before)


def attended_apart(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention over keys that every query sees, to be joined: output [batch, heads, queries, value_dim], log-sum-exp.

    Without a causal order the query heads of one KV head are queries of one product: keys need not be repeated.
    """
    batch, heads, queries, dim = query.shape
    grouped = query.reshape(batch, key.shape[1], -1, dim)
    output, weight = KERNELS[query.device.type](grouped, key, value, 0.0, False, scale=scale)[:2]
    return output.reshape(batch, heads, queries, -1), weight.reshape(batch, heads, queries)


def shared(
    query: torch.Tensor, keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor], scale: float | None = None
) -> torch.Tensor:
    """Causal attention of many rows over the keys of one prompt and each row's own, whose last are the queries'.

    query: [batch, heads, queries, head_dim]. keys, values: of the prompt, [1, kv_heads, tokens, ...], and of the
    tokens behind it, [batch, kv_heads, new, ...]. Result: [batch, heads, queries, value_dim]. No row of weights over
    the prompt is made: the queries of all rows and of a KV head's query heads are those of one product.
    """
    (prompt_key, own_key), (prompt_value, own_value) = keys, values
    batch, heads, queries, dim = query.shape
    kv_heads, new = own_key.shape[1:3]
    grouped = query.reshape(batch, kv_heads, -1, dim).transpose(0, 1).reshape(1, kv_heads, -1, dim)
    before, weight = KERNELS[query.device.type](grouped, prompt_key, prompt_value, 0.0, False, scale=scale)[:2]
    before = before.reshape(kv_heads, batch, -1, before.shape[-1]).transpose(0, 1).reshape(batch, heads, queries, -1)
    weight = weight.reshape(kv_heads, batch, -1).transpose(0, 1).reshape(batch, heads, queries)
    logits = key_logits(query, own_key) * (dim**-0.5 if scale is None else scale)
    later = torch.ones(queries, new, dtype=torch.bool, device=query.device).triu(new - queries + 1)
    logits = logits.masked_fill(later, -torch.inf)
    within = weighted_values(logits.softmax(-1), own_value)
    return joined(within, logits.logsumexp(-1), before, weight)


def joined(
    within: torch.Tensor, weight_within: torch.Tensor, before: torch.Tensor, weight_before: torch.Tensor
) -> torch.Tensor:
    """Attention over two sets of keys from that over each, [batch, heads, queries, value_dim]; `within` is overwritten.

    The weights are log-sum-exps, [batch, heads, queries]. Computed in float32, a slice of the queries at a time.
    """
    share = torch.sigmoid(weight_before - weight_within)[..., None].float()
    for start in range(0, within.shape[2], JOINED):
        part = (slice(None), slice(None), slice(start, start + JOINED))
        within[part] = torch.lerp(within[part].float(), before[part].float(), share[part])
    return within


@cache
def can_continue(device: torch.device, dtype: torch.dtype, heads: int, kv_heads: int, head_dim: int) -> bool:
    """Whether `continued` runs here and gives what SDPA gives; tried on a few random tokens, and said if not."""
    draw = torch.Generator().manual_seed(0)
    sizes = ((heads, 4), (kv_heads, 12), (kv_heads, 12))
    query, key, value = (
        torch.randn(1, count, tokens, head_dim, generator=draw).to(device, dtype) for count, tokens in sizes
    )
    seen = torch.ones(4, 12, dtype=torch.bool, device=device).tril(8)
    try:
        found = continued(query, key, value)
        wanted = scaled_dot_product_attention(query, key, value, attn_mask=seen, enable_gqa=heads != kv_heads)
    except (KeyError, RuntimeError) as error:
        logger.warning("%s on %s, heads of %d: %s", FALLBACK, device, head_dim, str(error).split("\n")[0])
        return False
    apart = float((found - wanted).abs().max())
    if not apart < TOLERANCE[dtype.itemsize]:
        logger.warning("%s on %s, heads of %d: it is %g off", FALLBACK, device, head_dim, apart)
        return False
    return True


def continues(loaded: Loaded) -> bool:
    """Whether tokens behind a filled cache need no mask: SDPA, layers that keep all keys, and no other interception."""
    return loaded.model.config._attn_implementation == "sdpa" and joins(loaded)


def joins(loaded: Loaded) -> bool:
    """Whether attention over a prompt and over what follows it can be computed apart, without rows of weights."""
    info, layer = loaded.info, loaded.info.attention_layers[0]
    if info.row_kernel != "sdpa" or not info.takes_back:
        return False
    sizes = (info.heads[layer], info.kv_heads[layer], info.value_dim[layer])
    return can_continue(first_device(loaded.model), loaded.model.dtype, *sizes)


def continuing(loaded: Loaded) -> AbstractContextManager[None]:
    """Inside the block, tokens are fed behind a filled cache without a mask."""

    def attend(module, query, key, value, mask, call, options):
        return continued(query, key, value, options.get("scaling")).transpose(1, 2), None

    return intercepted(loaded.model, attend, "sdpa", masks=NO_MASKS)
