"""GGUF files: what is read is what the file holds, and what would be read wrongly is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf_files import ROOT, logits, write_gguf
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3TextConfig,
    GenerationConfig,
    GgufConfig,
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from retrieval_heads.sources.gguf.checkpoint import convert
from retrieval_heads.sources.gguf.header import TYPES, GgufError, read_header, said_in_label
from retrieval_heads.sources.gguf.rope import llama3_divisors

KEY = "models.mine.gguf"
TEXTS = ["The best thing to do is to fly a kite.", "in  5 of 1234\n\n  x 12", "…", ""]
Q4, Q8 = gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0
SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 2048}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
SIZES |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, rope_parameters={"rope_type": "default", "rope_theta": 5e5}),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SIZES, head_dim=32),
    "gemma3": Gemma3TextConfig(**SIZES, head_dim=256, sliding_window=16),
}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(ROOT / "resources/models/organism")


def tiny(family: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[family]).eval()
    for parameter in model.parameters():
        # Norms and biases too, so that one that is left out shows.
        parameter.data += torch.randn_like(parameter) * 0.1
    return model


@pytest.fixture(scope="module")
def llama(tmp_path_factory, tokenizer) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny("llama"), tokenizer, Q4)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_converted_model_gives_the_logits_of_the_model_that_was_written(family, tokenizer, tmp_path):
    model = tiny(family)
    file = write_gguf(tmp_path / "tiny.gguf", model, tokenizer)
    convert(file, tmp_path / "made", "float32", KEY)
    ids = tokenizer(TEXTS[0])["input_ids"] * 3
    with torch.inference_mode():
        wanted = model(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(logits(tmp_path / "made", ids), wanted, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_quantised_weights_are_those_of_a_direct_load(llama, tokenizer, tmp_path, dtype):
    record = convert(llama, tmp_path / "made", dtype, KEY)
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "made", dtype=getattr(torch, dtype))
    direct = AutoModelForCausalLM.from_pretrained(
        llama.parent,
        gguf_file=llama.name,
        dtype=getattr(torch, dtype),
        quantization_config=GgufConfig(dequantize=True),
    )
    assert made.state_dict().keys() == direct.state_dict().keys()
    for name, weights in direct.state_dict().items():
        assert torch.equal(weights, made.state_dict()[name]), name
    assert (record["weights"], record["bits"], record["architecture"]) == ("Q4_0", 4, "llama")
    assert json.loads((tmp_path / "made/gguf.json").read_text())["sha256"] == record["sha256"]


def test_tokens_are_those_of_a_direct_load_and_the_opening_is_the_files(llama, tokenizer, tmp_path):
    convert(llama, tmp_path / "made", "float32", KEY)
    made = AutoTokenizer.from_pretrained(tmp_path / "made")
    direct = AutoTokenizer.from_pretrained(llama.parent, gguf_file=llama.name)
    for text in TEXTS:
        assert made(text)["input_ids"] == direct(text)["input_ids"]
        assert made(text)["input_ids"][:1] == [tokenizer.bos_token_id]
    plain = write_gguf(tmp_path / "p.gguf", tiny("llama"), tokenizer, settings={"tokenizer.ggml.add_bos_token": False})
    convert(plain, tmp_path / "plain", "float32", KEY)
    assert AutoTokenizer.from_pretrained(tmp_path / "plain")("")["input_ids"] == []


def test_splits_that_transformers_does_not_know_are_llama_cpps(tokenizer, tmp_path):
    """SmolLM cuts around every digit; transformers' reader takes it for GPT-2, whose tokens differ."""
    settings = {"tokenizer.ggml.pre": "smollm", "tokenizer.ggml.add_bos_token": False}
    file = write_gguf(tmp_path / "tiny.gguf", tiny("llama"), tokenizer, settings=settings)
    convert(file, tmp_path / "made", "float32", KEY)
    made = AutoTokenizer.from_pretrained(tmp_path / "made").backend_tokenizer.pre_tokenizer
    direct = AutoTokenizer.from_pretrained(tmp_path, gguf_file=file.name).backend_tokenizer.pre_tokenizer
    assert [piece for piece, _ in made.pre_tokenize_str("in 1234")] == ["in", "Ġ", "1", "2", "3", "4"]
    assert [piece for piece, _ in direct.pre_tokenize_str("in 1234")] == ["in", "Ġ1234"]


def test_every_token_that_ends_an_answer_is_kept(tokenizer, tmp_path):
    tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]
    tokens[7] = "<|im_end|>"
    settings = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.eot_token_id": 9, "tokenizer.ggml.merges": ["Ġ t"]}
    file = write_gguf(tmp_path / "tiny.gguf", tiny("llama"), tokenizer, settings=settings)
    convert(file, tmp_path / "made", "float32", KEY)
    assert GenerationConfig.from_pretrained(tmp_path / "made").eos_token_id == [tokenizer.eos_token_id, 9, 7]


def test_the_configs_special_tokens_are_the_files(tokenizer, tmp_path):
    """LlamaConfig's own defaults are 1 and 2, which are words here."""
    left_out = ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_bos_token")
    file = write_gguf(tmp_path / "tiny.gguf", tiny("llama"), tokenizer, leave_out=left_out)
    convert(file, tmp_path / "made", "float32", KEY)
    config = json.loads((tmp_path / "made/config.json").read_text())
    assert (config.get("bos_token_id"), config.get("eos_token_id")) == (None, None)


def test_the_scaling_of_llama_3_is_found_again_from_its_divisors(tokenizer, tmp_path):
    divisors = llama3_divisors(8, 5e5, 32.0).astype(np.float32)
    file = write_gguf(tmp_path / "a.gguf", tiny("llama"), tokenizer, tensors={"rope_freqs.weight": divisors})
    convert(file, tmp_path / "made", "float32", KEY)
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "made")
    assert made.config.rope_parameters["rope_type"] == "llama3"
    plain = 5e5 ** (-np.arange(8) / 8)
    frequencies, _ = ROPE_INIT_FUNCTIONS["llama3"](made.config, torch.device("cpu"))
    np.testing.assert_allclose(frequencies.numpy(), plain / divisors, rtol=1e-5)
    other = write_gguf(tmp_path / "b.gguf", tiny("llama"), tokenizer, tensors={"rope_freqs.weight": divisors[::-1]})
    with pytest.raises(GgufError, match=r"models.mine.gguf: the divisors in tensor 'rope_freqs.weight' of .* are not"):
        convert(other, tmp_path / "no", "float32", KEY)


REFUSED = {
    "tensor": (
        {"tensors": {"blk.0.attn_q.bias": np.ones(64, np.float32)}},
        r"not have the same tensors: blk.0.attn_q",
    ),
    "missing": ({"leave_out": ("blk.1.ffn_up.weight",)}, r"not have the same tensors: model.layers.1.mlp.up"),
    "setting": ({"settings": {"llama.attention.scale": 0.5}}, r"llama.attention.scale = 0.5, .* makes it nothing"),
    "window": (
        {"settings": {"llama.attention.sliding_window": 64}},
        r"sliding_window = 64, .* makes it None",
    ),
    "scaling": ({"settings": {"llama.rope.scaling.type": "longrope"}}, r"scales its rotary embedding in a way that"),
    "split": ({"settings": {"tokenizer.ggml.pre": "new-kind"}}, r"splits text \(tokenizer.ggml.pre = new-kind\)"),
    "kind": (
        {"settings": {"tokenizer.ggml.model": "rwkv"}},
        r"a tokenizer of kind 'rwkv'; read are gpt2 and",
    ),
    "parts": ({"settings": {"split.count": 3}}, r"is one of 3 parts; merge them"),
    "end": ({"settings": {"tokenizer.ggml.add_eos_token": True}}, r"ends every prompt with its end token"),
    "family": ({"settings": {"general.architecture": "mamba"}}, r"is of architecture 'mamba'; read are llama, qwen2"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_be_read_wrongly_is_refused_by_name(tokenizer, tmp_path, change, message):
    file = write_gguf(tmp_path / "tiny.gguf", tiny("llama"), tokenizer, **change)
    with pytest.raises(GgufError, match=rf"^models.mine.gguf: .*{message}"):
        convert(file, tmp_path / "made", "float32", KEY)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("kept", [0, 3, 40, 5000, -1])
def test_a_file_that_is_cut_short_is_refused(llama, tmp_path, kept):
    (tmp_path / "cut.gguf").write_bytes(llama.read_bytes()[:kept])
    with pytest.raises(GgufError, match=r"^models.mine.gguf: '.*cut.gguf' (ends before its last|is no GGUF)"):
        read_header(tmp_path / "cut.gguf", KEY)


def test_sizes_of_blocks_are_those_of_the_package():
    for number, (name, *size) in TYPES.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, list(gguf.GGML_QUANT_SIZES[kind])) == (name, size)


def test_a_label_says_what_the_weights_are():
    assert said_in_label("Tiny", {"bits": 4}) == "Tiny, 4-bit weights"
    assert said_in_label("Tiny, 4-bit weights", {"bits": 4}) == "Tiny, 4-bit weights"
    assert said_in_label("Tiny", {"bits": 16}) == said_in_label("Tiny", None) == "Tiny"
