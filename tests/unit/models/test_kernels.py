"""The kernel that a model is loaded on, with a stand-in for what CUDA reports; layers that cards cannot hold."""

from __future__ import annotations

import importlib.util

import pytest
import tiny_models
import torch

from retrieval_heads.models import loading
from retrieval_heads.models.kernels import fastest_kernel, flash_hindrance, widest_head
from retrieval_heads.models.unsupported import ModelError


@pytest.fixture
def cards(monkeypatch):
    """flash-attn installed, and cards of some capabilities."""

    def pretend(*capabilities):
        found = importlib.util.find_spec
        there = importlib.util.find_spec("json")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: there if name == "flash_attn" else found(name))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(capabilities))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda card=0: capabilities[card])

    return pretend


@pytest.mark.parametrize(
    ("family", "dtype", "capabilities", "kernel"),
    [
        ("llama", "bfloat16", [(8, 0)], "flash_attention_2"),
        ("llama", "float16", [(9, 0), (8, 6)], "flash_attention_2"),
        ("llama", "float32", [(9, 0)], "sdpa"),
        ("llama", "bfloat16", [(7, 5)], "sdpa"),
        ("llama", "bfloat16", [(9, 0), (7, 0)], "sdpa"),
        ("llama", "bfloat16", [], "sdpa"),
        ("gemma2", "bfloat16", [(9, 0)], "flash_attention_2"),
        ("gemma2", "float32", [(9, 0)], "eager"),
        # It lists a kernel of the hub, which cannot be fetched offline.
        ("gpt_oss", "bfloat16", [(9, 0)], "eager"),
    ],
)
def test_flash_attention_is_taken_only_where_it_runs(family, dtype, capabilities, kernel, cards):
    cards(*capabilities)
    assert fastest_kernel(tiny_models.config(family), "auto", dtype) == kernel
    assert fastest_kernel(tiny_models.config(family), "cpu", dtype) != "flash_attention_2"


def test_heads_that_are_too_wide(cards):
    cards((9, 0))
    assert fastest_kernel(tiny_models.config("llama", head_dim=256), "auto", "bfloat16") == "flash_attention_2"
    assert fastest_kernel(tiny_models.config("llama", head_dim=512), "auto", "bfloat16") == "sdpa"
    assert widest_head(tiny_models.config("deepseek_v3")) == 12
    assert widest_head(tiny_models.config("gpt2")) == 8


def test_flash_attention_that_was_asked_for_is_refused_with_the_reason(tmp_path, cards):
    tiny_models.build("llama").save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    cards((7, 5))
    with pytest.raises(ModelError, match=r"cannot be used: a card has compute capability 7\.5, below 8\.0; set models"):
        loading.load(str(tmp_path), dtype="bfloat16", attention="flash_attention_2")
    assert flash_hindrance(tiny_models.config("llama"), "float32") == "flash-attn does not know float32"


@pytest.mark.parametrize("where", ["cpu", "disk"])
def test_a_model_that_does_not_fit_on_the_cards_is_refused(where, tmp_path, monkeypatch):
    """accelerate would put the last layers on the CPU or on disk without a word."""
    tiny_models.build("llama").save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    placed = {"model.embed_tokens": "meta", "model.layers": "meta", "model.norm": "meta", "lm_head": where}
    monkeypatch.setattr(loading, "_device_map", lambda device: placed)

    def loaded_as_accelerate_does(path, **options):
        model = tiny_models.build("llama")
        model.hf_device_map = options["device_map"]
        return model, {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}

    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", loaded_as_accelerate_does)
    with pytest.raises(
        ModelError, match=r"does not fit on the cards: 1 of 4 modules, lm_head the first, .*models\.<name>"
    ):
        loading.load(str(tmp_path))
    placed["lm_head"] = 0
    assert loading.load(str(tmp_path)).info.layers == 3
