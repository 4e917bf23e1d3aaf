"""Attention behind a filled cache without a mask: that of SDPA with one."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.cache_utils import DynamicCache

from retrieval_heads.engine import cached_attention as continuation
from retrieval_heads.engine.cached_attention import TOLERANCE, can_continue, continued
from retrieval_heads.engine.prefill import PrefixCache, feed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2), (4, 1)])
@pytest.mark.parametrize(("cached", "new"), [(1, 1), (300, 70), (5, 200)])
def test_it_is_sdpa_with_a_mask(dtype, heads, kv_heads, cached, new):
    draw = torch.Generator().manual_seed(cached)
    sizes = ((heads, new), (kv_heads, cached + new), (kv_heads, cached + new))
    query, key, value = (torch.randn(2, count, tokens, 16, generator=draw).to(dtype) for count, tokens in sizes)
    seen = torch.ones(new, cached + new, dtype=torch.bool).tril(cached)
    groups = heads // kv_heads
    repeated = [part.float().repeat_interleave(groups, dim=1) for part in (key, value)]
    wanted = scaled_dot_product_attention(query.float(), *repeated, attn_mask=seen, scale=0.9)
    found = continued(query, key, value, scale=0.9)
    assert found.dtype == dtype
    assert torch.allclose(found.float(), wanted, atol=TOLERANCE[dtype.itemsize])


def test_where_the_kernels_are_missing_it_is_not_used():
    assert can_continue(torch.device("cpu"), torch.float32, 4, 2, 16)
    assert not can_continue(torch.device("meta"), torch.float32, 4, 2, 16)


@pytest.mark.parametrize(("family", "used"), [("llama", True), ("glm4", True), ("mistral", False), ("gemma2", False)])
def test_it_is_used_where_layers_keep_all_keys(family, used, monkeypatch):
    loaded, ids, calls = tiny_models.loaded(family), tiny_models.prompts()[0].ids, []
    assert continuation.continues(loaded) == used

    def spy(query, key, value, scale):
        calls.append(query.shape[2])
        return continued(query, key, value, scale)

    monkeypatch.setattr(continuation, "continued", spy)
    prefix, cache = PrefixCache(loaded), DynamicCache(config=loaded.model.config)
    prefix.prefill(ids)
    feed(loaded, cache, [ids[:20]])
    feed(loaded, cache, [ids[20:]])
    assert calls == ([len(ids) - 20] * loaded.info.layers if used else [])
    for got, want in zip(cache.layers, prefix.cache.layers, strict=True):
        assert torch.allclose(got.keys, want.keys, atol=1e-4)


def test_no_mask_is_made():
    """A mask of queries x keys is what the detour saves."""
    loaded, masks = tiny_models.loaded("llama"), []
    cache = DynamicCache(config=loaded.model.config)
    feed(loaded, cache, [tiny_models.prompts()[0].ids[:20]])
    handle = loaded.model.model.layers[0].register_forward_pre_hook(
        lambda layer, args, kwargs: masks.append(kwargs["attention_mask"]), with_kwargs=True
    )
    try:
        feed(loaded, cache, [tiny_models.prompts()[0].ids[20:]])
    finally:
        handle.remove()
    assert masks == [None]
