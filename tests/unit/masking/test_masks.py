"""Masks against a reference in float64 that uses none of the engine: edited weights, or an edited eager
attention.
"""

from __future__ import annotations

from typing import ClassVar

import pytest
import tiny_models
import torch
from masking_reference import reference_logits
from tiny_families import FAMILIES
from torch.utils._python_dispatch import TorchDispatchMode

from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.masking.head_means import calibrate_means
from retrieval_heads.masking.masks import HeadMask, MaskError, masked
from retrieval_heads.models.loading import wrap

IDS = torch.randint(2, 94, (30,), generator=torch.Generator().manual_seed(3)).tolist()
MODES = ("zero_output", "mean_output", "zero_query")


def some_heads(loaded) -> tuple[tuple[int, int], ...]:
    """Two heads of the first attention layer, one of the last."""
    layers = loaded.info.attention_layers
    return ((layers[0], 0), (layers[0], 3), (layers[-1], 1))


def masked_logits(loaded, mask, means=None) -> torch.Tensor:
    """The engine: scope `decode` prefills unmasked, scope `all` masks from the first token."""
    prefix = PrefixCache(loaded, reuse=False)
    if mask.scope == "all":
        with masked(loaded, mask, means):
            prefix.prefill(IDS[:-1])
    else:
        prefix.prefill(IDS[:-1])
    with branched(loaded, prefix.cache) as branch, masked(loaded, mask, means):
        return forward(loaded, [IDS[-1:]], branch)[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", FAMILIES)
def test_masks_equal_the_reference(family, mode, monkeypatch, matrix):
    loaded = tiny_models.loaded(family)
    means = calibrate_means(loaded, [IDS[:12], IDS[12:]])
    for scope in ("decode", "all"):
        mask = HeadMask(some_heads(loaded), mode=mode, scope=scope)
        got = masked_logits(loaded, mask, means)
        with monkeypatch.context() as patch:
            want = reference_logits(family, loaded, IDS, mask, means, patch)
        assert (got - want).abs().max() < 1e-3 * want.abs().max()
        assert (got - masked_logits(loaded, HeadMask(()))).abs().max() > 1e-2 * got.abs().max() or mode == "zero_query"
    matrix.setdefault(family, {}).update(masks=True)


@pytest.mark.parametrize("mode", MODES)
def test_the_empty_mask_changes_nothing_to_the_last_bit(mode):
    loaded = tiny_models.loaded("llama")
    plain = masked_logits(loaded, HeadMask(()))
    prefix = PrefixCache(loaded)
    prefix.prefill(IDS[:-1])
    with branched(loaded, prefix.cache) as branch, masked(loaded, None):
        assert torch.equal(forward(loaded, [IDS[-1:]], branch)[0], plain)
    assert torch.equal(masked_logits(loaded, HeadMask((), mode=mode, scope="all")), plain)


@pytest.mark.parametrize("family", ["llama", "phi3", "gpt2", "deepseek_v3"])
def test_only_the_named_heads_change(family):
    """At the input of the first masked layer's projection every other head is the same to the last bit."""
    loaded = tiny_models.loaded(family)
    layer = loaded.info.attention_layers[0]
    seen = []
    handle = None
    batch = torch.tensor([IDS])
    try:
        for mask in (None, HeadMask(((layer, 1),), scope="all")):
            with masked(loaded, mask), torch.no_grad():
                # Registered after the mask's hook, so it sees what the projection sees.
                handle = loaded.info.projections[layer].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
                loaded.model(batch)
                handle.remove()
    finally:
        handle.remove()
    plain, changed = (joined.unflatten(-1, (loaded.info.heads[layer], -1)) for joined in seen)
    others = [head for head in range(loaded.info.heads[layer]) if head != 1]
    assert torch.equal(plain[:, :, others], changed[:, :, others])
    assert (changed[:, :, 1] == 0).all() and (plain[:, :, 1] != 0).any()


def test_one_mask_per_row_equals_single_rows():
    loaded = tiny_models.loaded("qwen3")
    for mode in MODES:
        means = calibrate_means(loaded, [IDS])
        masks = [None, HeadMask(((0, 1),), mode=mode), HeadMask(((0, 0), (2, 3)), mode=mode)]
        prefix = PrefixCache(loaded)
        prefix.prefill(IDS[:-1])
        with branched(loaded, prefix.cache, rows=3) as branch, masked(loaded, masks, means):
            together = forward(loaded, [IDS[-1:]] * 3, branch)
        for row, mask in enumerate(masks):
            assert torch.allclose(together[row], masked_logits(loaded, mask or HeadMask(()), means), atol=1e-4)


def test_decode_scope_masks_the_last_token_of_a_block_only():
    """As under another library's `generate`: the prompt passes in one block, padded on the left."""
    loaded = tiny_models.loaded("llama")
    mask = HeadMask(((0, 1), (1, 2)))
    with masked(loaded, mask), torch.no_grad():
        block = loaded.model(torch.tensor([IDS])).logits[0, -1]
    assert torch.allclose(block, masked_logits(loaded, mask), atol=1e-4)


def test_masks_compose_with_generate_on_a_padded_batch():
    loaded = tiny_models.loaded("llama")
    mask = HeadMask(((0, 1), (1, 2)))
    short = IDS[10:]
    batch = torch.tensor([IDS, [0] * 10 + short])
    seen = torch.tensor([[1] * 30, [0] * 10 + [1] * 20])
    options = {"max_new_tokens": 5, "do_sample": False}
    with masked(loaded, mask):
        both = loaded.model.generate(batch, attention_mask=seen, **options)[:, 30:]
        alone = loaded.model.generate(torch.tensor([short]), **options)[0, 20:]
    assert both[1].tolist()[: len(alone)] == alone.tolist()


def test_kv_group_masks_every_head_that_shares_the_keys():
    info = tiny_models.loaded("llama").info
    assert HeadMask(((1, 2),), unit="kv_group").expanded(info) == {1: {2, 3}}
    assert HeadMask(((1, 2),)).expanded(info) == {1: {2}}


def test_calibrated_mean_is_the_mean_over_tokens():
    loaded = tiny_models.loaded("llama")
    seen = []
    handle = loaded.info.projections[1].register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
    try:
        means = calibrate_means(loaded, [IDS[:10], IDS[10:]])
    finally:
        handle.remove()
    assert torch.allclose(means[1].flatten(), torch.cat(seen).mean(0), atol=1e-6)


def test_hooks_are_gone_after_an_error():
    loaded = tiny_models.loaded("llama")
    plain = masked_logits(loaded, HeadMask(()))
    for mode in ("zero_output", "zero_query"):
        with pytest.raises(RuntimeError, match="stop"), masked(loaded, HeadMask(((0, 0),), mode=mode)):
            raise RuntimeError("stop")
    assert not any(projection._forward_pre_hooks for projection in loaded.info.projections.values())
    assert torch.equal(masked_logits(loaded, HeadMask(())), plain)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "zero"}, "mask mode 'zero' is unknown; use one of zero_output"),
        ({"scope": "some"}, "mask scope 'some'"),
        ({"unit": "layer"}, "mask unit 'layer'"),
    ],
)
def test_unknown_factors_are_refused(arguments, message):
    with pytest.raises(MaskError, match=message):
        HeadMask((), **arguments)


def test_heads_that_do_not_exist_are_refused():
    loaded = tiny_models.loaded("qwen3_next")
    for head in ((0, 0), (1, 4), (9, 0)):
        with (
            pytest.raises(MaskError, match=f"head {head[0]}-{head[1]} does not exist"),
            masked(loaded, HeadMask((head,))),
        ):
            pass


def test_mixed_modes_and_missing_means_are_refused():
    loaded = tiny_models.loaded("llama")
    mixed = [HeadMask(((0, 0),)), HeadMask(((0, 1),), mode="zero_query")]
    with pytest.raises(MaskError, match="one mode and one scope"), masked(loaded, mixed):
        pass
    with (
        pytest.raises(MaskError, match="calibrate_means"),
        masked(loaded, HeadMask(((0, 0),), mode="mean_output")),
    ):
        pass


@pytest.mark.parametrize("mode", ["zero_output", "mean_output"])
def test_masks_are_on_the_device_in_its_dtype_before_the_first_step(mode):
    """Nothing is copied for each layer and step. The meta device stands in for a card."""
    means = calibrate_means(tiny_models.loaded("llama"), [IDS])
    loaded = wrap(tiny_models.build("llama", attention="sdpa").bfloat16(), tiny_models.tokenizer())
    loaded.model.to("meta")

    class Copies(TorchDispatchMode):
        names: ClassVar[list[str]] = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.names.append(str(func))
            return func(*args, **(kwargs or {}))

    projection = loaded.info.projections[0]
    joined = torch.zeros(2, 1, 32, dtype=torch.bfloat16, device="meta")
    with masked(loaded, [HeadMask(((0, 1),), mode), HeadMask(((0, 2),), mode)], means), Copies() as copies:
        assert projection(joined).shape == joined.shape
    assert "aten.where.self" in copies.names
    assert not [name for name in copies.names if "copy" in name]
