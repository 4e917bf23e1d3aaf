"""Which rotary types are served, and that those which look at the length of a call are turned by the whole sequence."""

from __future__ import annotations

import json

import pytest
import rotary_models
import tiny_models
import torch
from rotary_models import WINDOW
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, RotaryEmbeddingConfigMixin

from retrieval_heads.models import loading as models
from retrieval_heads.models.rotary import BY_LENGTH, FIXED, FrequencyError
from retrieval_heads.models.unsupported import ModelError

# Types that transformers validates and that no causal language model has.
NOT_OF_LANGUAGE_MODELS = {"axial"}
IDS = torch.randint(2, 94, (200,), generator=torch.Generator().manual_seed(3)).tolist()


def save(folder, name: str, **changes) -> str:
    """A checkpoint of one of the rotary models; changes: of its rotary settings."""
    rotary_models.build(name).save_pretrained(folder)
    tiny_models.tokenizer().save_pretrained(folder)
    if changes:
        file = folder / "config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        config["rope_parameters"].update(changes)
        file.write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


def test_every_rotary_type_of_the_installed_transformers_was_tried():
    """Where this fails, transformers has a new type: try it in `rotary_models` before it is served."""
    validated = {
        name.removeprefix("_validate_").removesuffix("_rope_parameters")
        for name in vars(RotaryEmbeddingConfigMixin)
        if name.startswith("_validate_")
    }
    assert {"default", *ROPE_INIT_FUNCTIONS} | validated - NOT_OF_LANGUAGE_MODELS == {*FIXED, *BY_LENGTH}
    assert not set(FIXED) & set(BY_LENGTH)
    tried = {name.split()[1] for name in rotary_models.ALL}
    assert tried == {*FIXED, *BY_LENGTH}


def turned(module, positions: list[int], **options) -> torch.Tensor:
    found = module(torch.zeros(1), torch.tensor([positions]), **options)
    return torch.cat([part.flatten() for part in found])


@pytest.mark.parametrize("name", rotary_models.ALL)
def test_types_are_told_apart_by_what_they_do(name):
    """The first ten positions, alone and with a far one behind them: the same in fixed types, other in the others."""
    embeddings = [module for module in rotary_models.build(name).modules() if hasattr(module, "rope_type")]
    differs = []
    for module in embeddings:
        kinds = module.rope_type if isinstance(module.rope_type, dict) else {None: module.rope_type}
        for layer_type in kinds:
            options = {} if layer_type is None else {"layer_type": layer_type}
            alone = turned(module, list(range(10)), **options)
            ahead = module(torch.zeros(1), torch.tensor([[*range(10), 199]]), **options)
            ahead = torch.cat([part[:, :10].flatten() for part in ahead])
            differs.append(not torch.allclose(alone, ahead, atol=1e-5))
    assert any(differs) == (name in rotary_models.BY_LENGTH)
    assert bool(rotary_models.loaded(name).info.rotary.embeddings) == any(differs)


def test_an_untried_type_is_refused_by_name(tmp_path):
    folder = save(tmp_path, "llama linear", rope_type="spiral")
    for read in (models.read_config, models.load, models.describe):
        with pytest.raises(ModelError, match=r"model type 'llama' .* rotary type 'spiral' was not tried"):
            read(folder)
    model = tiny_models.build("llama")
    model.config.rope_parameters["rope_type"] = "spiral"
    with pytest.raises(ModelError, match="'spiral'"):
        models.wrap(model, tiny_models.tokenizer())


def test_an_untried_type_of_one_kind_of_layer_is_refused_too():
    config = tiny_models.config("gemma3_text", **{"sliding_window": 12})
    config.rope_parameters["sliding_attention"]["rope_type"] = "spiral"
    with pytest.raises(ModelError, match="'spiral'"):
        models.refuse_untried(config)


@pytest.mark.parametrize("name", rotary_models.ALL)
def test_a_checkpoint_is_described_without_its_weights(name, tmp_path):
    folder = save(tmp_path, name)
    found, loaded = models.describe(folder), models.load(folder, device="cpu")
    assert {key: found[key] for key in loaded.info.as_dict()} == loaded.info.as_dict()


@pytest.mark.parametrize("name", ["llama dynamic", "llama longrope", "llama yarn"])
def test_another_window_leaves_the_frequencies_alone(name, tmp_path):
    """`dynamic` takes the longest input for its original window; a factor that is not named is made out of it."""
    changes = {} if name == "llama dynamic" else {"factor": None}
    folder = save(tmp_path, name, **changes)
    plain, wide = models.load(folder, device="cpu"), models.load(folder, device="cpu", window=4096)
    assert wide.info.window == models.describe(folder, window=4096)["window"] == 4096
    for ids in (IDS[:30], IDS):
        with torch.inference_mode():
            want, got = (one.model(torch.tensor([ids])).logits for one in (plain, wide))
        assert torch.equal(got, want)


@pytest.mark.parametrize("name", rotary_models.BY_LENGTH)
def test_a_longer_sequence_before_leaves_nothing_behind(name):
    loaded = rotary_models.loaded(name)
    with torch.inference_mode():
        for length in (WINDOW - 4, 200, 100, WINDOW, 30):
            found = loaded.model(torch.tensor([IDS[:length]])).logits[0]
            assert (found - rotary_models.whole_pass(name, IDS[:length])[0]).abs().max() < 1e-4


@pytest.mark.parametrize("name", rotary_models.BY_LENGTH)
def test_rows_of_a_batch_are_turned_by_their_own_lengths(name):
    """A short row of a batch, filled up on the right; nothing behind a token reaches it."""
    loaded, lengths = rotary_models.loaded(name), (30, 200)
    batch = torch.tensor([[*IDS[:30], *IDS[:170]], IDS])
    with torch.inference_mode(), loaded.info.rotary.pinned(lengths):
        found = loaded.model(batch).logits
    for row, length in enumerate(lengths):
        want = rotary_models.whole_pass(name, batch[row, :length].tolist())[0]
        assert (found[row, :length] - want).abs().max() < 1e-4
    assert all(not embedding.lengths for embedding in loaded.info.rotary.embeddings)


def test_lengths_of_the_same_frequencies():
    longrope, dynamic, fixed = (
        rotary_models.loaded(name).info.rotary for name in ("phi3 longrope", "llama dynamic", "llama yarn")
    )
    assert (
        longrope.same_frequencies(1, WINDOW)
        and longrope.same_frequencies(WINDOW + 1, 512)
        and not longrope.same_frequencies(WINDOW, 65)
    )
    assert (
        dynamic.same_frequencies(1, WINDOW)
        and not dynamic.same_frequencies(WINDOW, 65)
        and not dynamic.same_frequencies(100, 101)
    )
    assert fixed.same_frequencies(1, 10**6)


def test_keys_of_other_frequencies_are_never_continued():
    from retrieval_heads.engine.forward_calls import forward
    from retrieval_heads.engine.prefill import PrefixCache, feed

    loaded = rotary_models.loaded("phi3 longrope")
    prefix = PrefixCache(loaded)
    prefix.prefill(IDS[:WINDOW])
    with pytest.raises(FrequencyError, match="frequencies of 64 tokens, those of 65 differ"):
        forward(loaded, [[5]], prefix.cache)
    with pytest.raises(FrequencyError, match="frequencies of 64 tokens, those of 74 differ"):
        feed(loaded, prefix.cache, [IDS[:10]])
