"""One way into the attention of every Hugging Face causal model: a function registered with transformers' own interface.

The function lets the machine's kernel compute the output and hands each call to whoever listens (the probe) or edits
queries (masking). No modelling code is copied, and the mask function is registered under the same name, without which
causality would silently be lost.
https://huggingface.co/docs/transformers/attention_interface
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import AttentionInterface
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

# Queries that the fallback handles at a time: no L x L matrix is ever made.
BLOCK = 256


@dataclass(frozen=True)
class Call:
    """One attention layer at work.

    query [batch, heads, queries, d], key and value [batch, kv_heads, keys, d]; mask: None, bool (True = visible) or
    additive, broadcastable to [batch, heads, queries, keys]; sinks: None or [heads].
    """

    module: torch.nn.Module
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    scaling: float
    softcap: float | None
    sinks: torch.Tensor | None

    @property
    def layer(self) -> int:
        """The model's own number of this layer (in a hybrid not every layer has attention)."""
        return self.module.layer_idx


Listener = Callable[[Call], None]
QueryEdit = Callable[[int, torch.Tensor], torch.Tensor]
LISTENERS: list[Listener] = []
QUERY_EDITS: list[QueryEdit] = []


def attention_rows(call: Call) -> torch.Tensor:
    """The attention of every query, as the model weighs it: float32 [batch, heads, queries, keys].

    softmax(q K^T scaling) with soft cap, mask and sink, grouped queries without repeating the keys. Meant for few
    queries: the result has queries x keys entries a head. Rows of a head with a sink add up to less than 1.
    """
    batch, heads, queries, size = call.query.shape
    groups = call.key.shape[1]
    grouped = call.query.reshape(batch, groups, heads // groups * queries, size).float()
    logits = (grouped @ call.key.float().transpose(2, 3)).view(batch, heads, queries, -1) * call.scaling
    if call.softcap is not None:
        logits = torch.tanh(logits / call.softcap) * call.softcap
    logits = _hide(logits, call)
    if call.sinks is not None:
        sinks = call.sinks.float().view(1, -1, 1, 1).expand(batch, heads, queries, 1)
        return torch.cat([logits, sinks], dim=-1).softmax(-1)[..., :-1]
    return logits.softmax(-1)


def _hide(logits: torch.Tensor, call: Call) -> torch.Tensor:
    if call.mask is not None:
        mask = call.mask[..., : logits.shape[-1]]
        return logits.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else logits + mask
    queries, keys = logits.shape[-2:]
    if queries == 1:
        return logits
    future = torch.ones(queries, keys, dtype=torch.bool, device=logits.device).triu(keys - queries + 1)
    return logits.masked_fill(future, float("-inf"))


def _exact_output(call: Call) -> torch.Tensor:
    """The output for what the fused kernels do not offer (soft caps, sinks), a block of queries at a time."""
    queries, keys = call.query.shape[2], call.key.shape[2]
    value = call.value.repeat_interleave(call.query.shape[1] // call.value.shape[1], dim=1)
    parts = []
    for start in range(0, queries, BLOCK):
        stop = min(start + BLOCK, queries)
        seen = keys - queries + stop  # later keys are in these queries' future, whatever the mask
        mask = None if call.mask is None else call.mask[:, :, start:stop, :seen]
        block = Call(call.module, call.query[:, :, start:stop], call.key[:, :, :seen], call.value, mask,
                     call.scaling, call.softcap, call.sinks)  # fmt: skip
        parts.append(attention_rows(block).to(value.dtype) @ value[:, :, :seen])
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous()


def _forward(kernel: Callable, exact: bool, module, query, key, value, attention_mask, scaling=None, **kwargs):
    for edit in QUERY_EDITS:
        query = edit(module.layer_idx, query)
    call = Call(
        module,
        query,
        key,
        value,
        attention_mask,
        query.shape[-1] ** -0.5 if scaling is None else scaling,
        kwargs.get("softcap"),
        kwargs.get("s_aux"),
    )
    for listen in LISTENERS:
        listen(call)
    if exact and (call.softcap is not None or call.sinks is not None):
        return _exact_output(call), None
    return kernel(module, query, key, value, attention_mask, scaling=scaling, **kwargs)


def _sdpa(module, query, key, value, attention_mask, **kwargs):
    return _forward(sdpa_attention_forward, True, module, query, key, value, attention_mask, **kwargs)


def _flash(module, query, key, value, attention_mask, **kwargs):
    return _forward(flash_attention_forward, False, module, query, key, value, attention_mask, **kwargs)


# transformers takes names that hold "flash" for its own kernels, so the flash variant must be named so.
INTERFACES = {"sdpa": "retrieval_heads_sdpa", "flash_attention_2": "retrieval_heads_flash_attention_2"}
AttentionInterface.register(INTERFACES["sdpa"], _sdpa)
AttentionMaskInterface.register(INTERFACES["sdpa"], ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
AttentionInterface.register(INTERFACES["flash_attention_2"], _flash)
AttentionMaskInterface.register(INTERFACES["flash_attention_2"], ALL_MASK_ATTENTION_FUNCTIONS["flash_attention_2"])
