"""Attention behind a filled cache without a mask: that of SDPA with one."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.cache_utils import DynamicCache

from retrieval_heads.engine import shared_prefix
from retrieval_heads.engine.attention import cached as continuation
from retrieval_heads.engine.attention.cached import TOLERANCE, can_continue, continued, joins, shared
from retrieval_heads.engine.attention.weights import attended, attention_rows
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import PrefixCache, feed
from retrieval_heads.engine.shared_prefix import branched


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2), (4, 1)])
@pytest.mark.parametrize(("new", "queries"), [(1, 1), (5, 1), (5, 5), (9, 4)])
def test_many_rows_behind_one_prompt(dtype, heads, kv_heads, new, queries):
    """Equal to the rows of weights that a listener would get, times the values."""
    draw = torch.Generator().manual_seed(new)
    sizes = ((3, heads, queries), *((rows, kv_heads, n) for _ in range(2) for rows, n in ((1, 70), (3, new))))
    query, *parts = (torch.randn(*size, 16, generator=draw).to(dtype) for size in sizes)
    keys, values = parts[:2], parts[2:]
    wanted = attended(
        attention_rows(query.float(), [key.float() for key in keys], None, 0.3), [v.float() for v in values]
    )
    found = shared(query, keys, values, 0.3)
    assert found.dtype == dtype
    assert torch.allclose(found.float(), wanted, atol=TOLERANCE[dtype.itemsize])


class Largest(TorchDispatchMode):
    """Notes the largest float32 tensor that is made while it is on, in values."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float32:
                self.largest = max(self.largest, leaf.numel())
        return result


def test_outputs_are_joined_in_float32_a_slice_at_a_time(monkeypatch):
    monkeypatch.setattr(continuation, "JOINED", 16)
    draw = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 4, n, 16, generator=draw).bfloat16() for n in (256, 300, 300))
    with Largest() as seen:
        sliced = continued(query, key, value)
    assert seen.largest <= 4 * 16 * 16
    monkeypatch.setattr(continuation, "JOINED", 1000)
    with Largest() as seen:
        whole = continued(query, key, value)
    assert seen.largest == 4 * 256 * 16
    assert torch.equal(sliced, whole)


def test_rows_are_made_only_where_somebody_listens(monkeypatch):
    """Masked decoding has no listeners: of the prompt's length there is no weight of a row."""
    loaded, prompt, calls = tiny_models.loaded("llama"), tiny_models.prompts(lengths=(60,))[1], []

    def spy(*args, **options):
        calls.append(args[0].shape)
        return attention_rows(*args, **options)

    monkeypatch.setattr(shared_prefix, "attention_rows", spy)
    prefix = PrefixCache(loaded)
    prefix.prefill(prompt.ids[:-1])
    logits = {}
    for listeners in ([], [lambda *heard: None]):
        with branched(loaded, prefix.cache, rows=2, listeners=listeners) as branch:
            steps = [[list(ids)] * 2 for ids in ((prompt.ids[-1],), (5, 6, 7), (8,))]
            logits[len(listeners)] = [forward(loaded, step, branch) for step in steps]
        assert len(calls) == len(listeners) * 3 * loaded.info.layers
    for without, heard in zip(logits[0], logits[1], strict=True):
        assert torch.allclose(without, heard, atol=1e-4)


def test_families_with_options_of_their_own_keep_their_rows():
    assert [joins(tiny_models.loaded(family)) for family in ("llama", "gemma2", "gpt_oss", "mistral")] == [
        True,
        False,
        False,
        False,
    ]


def test_a_fallback_is_said_once(caplog):
    can_continue.cache_clear()
    for _ in range(2):
        assert not can_continue(torch.device("meta"), torch.float32, 4, 2, 24)
    assert len([record for record in caplog.records if "cannot be used on meta" in record.message]) == 1


def test_a_prompt_that_shares_next_to_nothing_is_prefilled_from_its_first_token(monkeypatch):
    """One BOS in common must not send a whole prompt behind a filled cache."""
    calls: list[int] = []
    monkeypatch.setattr(continuation, "continued", lambda *args: calls.append(1) or continued(*args))
    first = tiny_models.prompts()[0].ids
    for family in ("llama", "mistral"):
        for in_common, expected in ((1, 48), (11, 48), (12, 36)):
            prefix = PrefixCache(tiny_models.loaded(family))
            other = (*first[:in_common], *((id + 1) % 90 for id in first[in_common:]))
            prefix.prefill(first, other)
            assert prefix.prefill(other) == expected
            assert bool(calls) == (expected == 36 and family == "llama")
            calls.clear()
