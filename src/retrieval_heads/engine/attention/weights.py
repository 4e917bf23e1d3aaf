"""Attention rows: softmax(q·Kᵀ·scale) of a few query tokens, in float32, as the model itself weighs its keys.

Keys may come in two parts, a prefix that all rows of a batch share and each row's own continuation: the
prefix is then read once for all of them. No queries x queries matrix is ever made.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Batched matrix product accumulated and kept in float32: [n, a, b] x [n, b, c] -> [n, a, c]."""
    if left.dtype != torch.float32 and left.is_cuda:
        return torch.bmm(left, right, out_dtype=torch.float32)
    return torch.bmm(left.float(), right.float())


def key_logits(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """q·Kᵀ, float32 [batch, heads, queries, keys].

    query: [batch, heads, queries, head_dim]. key: [batch, kv_heads, keys, head_dim], or with a batch of 1
    when all rows share it. The query heads of one KV head become rows of one product, so that keys are never
    repeated.
    """
    batch, heads, queries, dim = query.shape
    shared, kv_heads, keys, _ = key.shape
    grouped = query.reshape(batch, kv_heads, heads // kv_heads * queries, dim)
    if shared == 1:
        left = grouped.transpose(0, 1).flatten(1, 2)
        product = _product(left, key[0].transpose(1, 2)).unflatten(1, (batch, -1)).transpose(0, 1)
    else:
        product = _product(grouped.flatten(0, 1), key.flatten(0, 1).transpose(1, 2))
    return product.reshape(batch, heads, queries, keys)


def weighted_values(rows: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """rows · V, [batch, heads, queries, value_dim] in the values' dtype; shapes as in `key_logits`."""
    batch, heads, queries, keys = rows.shape
    shared, kv_heads, _, dim = value.shape
    grouped = rows.to(value.dtype).reshape(batch, kv_heads, heads // kv_heads * queries, keys)
    if shared == 1:
        left = grouped.transpose(0, 1).flatten(1, 2)
        product = torch.bmm(left, value[0]).unflatten(1, (batch, -1)).transpose(0, 1)
    else:
        product = torch.bmm(grouped.flatten(0, 1), value.flatten(0, 1))
    return product.reshape(batch, heads, queries, dim)


def attended(rows: torch.Tensor, values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Rows · V, the heads' outputs [batch, heads, queries, value_dim]; the values come in parts, as the keys do."""
    split = rows.split([part.shape[-2] for part in values], dim=-1)
    return sum(weighted_values(part, value) for part, value in zip(split, values, strict=True))


def attention_rows(
    query: torch.Tensor,
    keys: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **_unused,
) -> torch.Tensor:
    """Attention rows, float32 [batch, heads, queries, keys], of queries that are the last tokens of the keys.

    keys: one part, or prefix and continuation. mask: the model's own, boolean (True = seen) or additive, or
    None for causal. scaling: 1/sqrt(head_dim) when None. sliding_window in tokens. softcap: Gemma 2's tanh
    cap. s_aux: attention sinks [heads], a logit that takes mass and belongs to no key. Further options of the
    attention interface do not bear on the weights.
    """
    logits = torch.cat([key_logits(query, key) for key in keys], dim=-1)
    logits *= query.shape[-1] ** -0.5 if scaling is None else scaling
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    if position_bias is not None:
        logits = logits + position_bias.float()
    if mask is None:
        mask = _causal_mask(query.shape[2], logits.shape[-1], sliding_window, query.device)
    if mask is not None:
        mask = mask[..., : logits.shape[-1]]
        logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask.float()
    if s_aux is None:
        return logits.softmax(-1)
    sinks = s_aux.float().reshape(1, -1, 1, 1).expand(*logits.shape[:-1], 1)
    return torch.cat([logits, sinks], dim=-1).softmax(-1)[..., :-1]


def _causal_mask(queries: int, keys: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    if queries == 1 and (window is None or keys <= window):
        return None
    position = torch.arange(keys - queries, keys, device=device)[:, None]
    column = torch.arange(keys, device=device)
    seen = column <= position
    return seen if window is None else seen & (column > position - window)
