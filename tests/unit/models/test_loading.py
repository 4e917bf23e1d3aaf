"""Loading, info, and refusals by name."""

from __future__ import annotations

import hashlib
import json

import pandas as pd
import pytest
import tiny_families
import tiny_models
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from retrieval_heads.detection.detector import detect
from retrieval_heads.masking import niah
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models import loading as models
from retrieval_heads.models.architecture import needs_eager
from retrieval_heads.models.unsupported import UNSUPPORTED, ModelError, refuse_unsupported


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    tiny_models.build("llama").save_pretrained(folder)
    tiny_models.tokenizer().save_pretrained(folder)
    return folder


def test_load_and_facts(checkpoint):
    loaded = models.load(str(checkpoint), device="cpu")
    info = loaded.info
    assert (info.model_type, info.layers, info.max_heads, info.window) == ("llama", 3, 4, 512)
    assert info.heads == {0: 4, 1: 4, 2: 4} and info.kv_heads == {0: 2, 1: 2, 2: 2}
    assert info.kernel == "sdpa" and info.dtype == "float32"
    assert info.projections[1] is loaded.model.model.layers[1].self_attn.o_proj
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.parameters())


def test_dtype_and_attention_can_be_chosen(checkpoint):
    loaded = models.load(str(checkpoint), dtype="bfloat16", attention="eager", device="cpu")
    assert loaded.model.dtype == torch.bfloat16
    assert loaded.info.kernel == loaded.info.row_kernel == "eager"


def test_describe_reads_no_weights(checkpoint):
    described = models.describe(str(checkpoint))
    info = models.load(str(checkpoint), device="cpu").info
    assert {key: value for key, value in described.items() if key != "files"} == info.as_dict()
    weights = (checkpoint / "model.safetensors").read_bytes()
    assert described["files"]["model.safetensors"] == hashlib.sha256(weights).hexdigest()
    json.dumps(described)


def test_describe_names_layers_with_attention_of_a_hybrid(tmp_path):
    tiny_models.build("qwen3_next").save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    described = models.describe(str(tmp_path))
    assert described["attention_layers"] == [1, 3] and described["layers"] == 4
    assert described["heads_by_layer"] == {"1": [4, 2], "3": [4, 2]}


@pytest.mark.parametrize("family", sorted(UNSUPPORTED))
def test_unsupported_types_are_refused_by_name_before_any_weight_is_read(family, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    try:
        config = AutoConfig.from_pretrained(tmp_path)
    except Exception:  # a configuration that cannot be built from defaults: only its name counts here
        config = AutoConfig.for_model("llama")
        config.model_type = family
    with pytest.raises(ModelError, match=f"model type '{family}' cannot be probed: .*; choose a model"):
        refuse_unsupported(config)


@pytest.mark.parametrize("family", ["bloom", "gptj", "gpt_neo"])
def test_the_trial_run_finds_models_that_bypass_the_interface(family, monkeypatch):
    """Also when a type is not on the list yet."""
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(
            family,
            hidden_size=32,
            n_embd=32,
            num_layers=2,
            n_layer=2,
            n_head=4,
            num_heads=4,
            vocab_size=97,
            rotary_dim=4,
            attention_types=[[["global"], 2]],
        )
    )
    monkeypatch.delitem(UNSUPPORTED, family)
    with pytest.raises(ModelError, match=f"'{family}' cannot be probed: its attention does not go through"):
        models.wrap(model, tiny_models.tokenizer())


def test_load_refuses_before_reading_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bloom"}))
    with pytest.raises(ModelError, match="model type 'bloom' cannot be probed"):
        models.load(str(tmp_path))


def test_soft_caps_and_sinks_need_eager_attention():
    needy = {family for family in ("llama", "gemma2", "gpt_oss", "qwen3") if needs_eager(tiny_models.config(family))}
    assert needy == {"gemma2", "gpt_oss"}
    assert tiny_models.loaded("gemma2").info.kernel == "eager"


def test_load_chooses_eager_where_sdpa_cannot_serve(tmp_path):
    tiny_models.build("gpt_oss").save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    for attention in ("auto", "sdpa"):
        assert models.load(str(tmp_path), attention=attention, device="cpu").info.kernel == "eager"


def test_quantization_without_its_package_says_what_to_install(checkpoint, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="needs the package bitsandbytes"):
        models.load(str(checkpoint), quantization="4bit", device="cpu")
    with pytest.raises(ModelError, match="quantization '2bit' is unknown"):
        models.load(str(checkpoint), quantization="2bit", device="cpu")


def test_a_checkpoint_with_a_vision_tower_is_measured_as_its_language_model():
    """Gemma 3 of the hub loads as Gemma3ForConditionalGeneration; its text model gives the same answers and scores."""
    text = {**tiny_families.BASE, **tiny_families.FAMILIES["gemma3_text"]}
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    special = {"image_token_index": 90, "boi_token_index": 91, "eoi_token_index": 92}
    config = AutoConfig.for_model("gemma3", text_config=text, vision_config=vision, mm_tokens_per_image=4, **special)
    torch.manual_seed(0)
    whole = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float()
    assert type(whole).__name__ == "Gemma3ForConditionalGeneration"
    plain = tiny_models.build("gemma3_text", attention="sdpa")
    plain.model.load_state_dict(whole.model.language_model.state_dict())
    plain.lm_head.load_state_dict(whole.lm_head.state_dict())
    seen, language = (models.wrap(model, tiny_models.tokenizer()) for model in (whole, plain))
    assert seen.info.model_type == "gemma3_text" and seen.info.shareable == {1}
    prompts = tiny_models.prompts()[:2]
    for one, other in zip(*(detect(loaded, prompts, max_new_tokens=4) for loaded in (seen, language)), strict=True):
        assert one.response_ids == other.response_ids
        pd.testing.assert_frame_equal(one.scores, other.scores)
    sets = {"none": None, "decode": HeadMask(((0, 1),)), "all": HeadMask(((1, 0),), scope="all")}
    options = {"max_new_tokens": 4, "decode_batch": 4}
    for one, other in zip(*(niah.run(loaded, prompts, sets, **options) for loaded in (seen, language)), strict=True):
        assert one.responses == other.responses
