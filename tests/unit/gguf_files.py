"""Small GGUF files, written from models in memory with the package of llama.cpp, as its own converter writes them."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

ROOT = Path(__file__).parents[2]
CONTROL, NORMAL = 3, 1
ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3_text": "gemma3"}


def write_gguf(
    file: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    quantization: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    settings: dict | None = None,
    tensors: dict[str, np.ndarray] | None = None,
    leave_out: tuple[str, ...] = (),
) -> Path:
    """Write `model`; matrices are quantised. settings, tensors: added to the file's own. leave_out: names of either."""
    architecture = ARCHITECTURES[model.config.model_type]
    writer = gguf.GGUFWriter(file, architecture)
    written = {**_settings(model, architecture), **_vocabulary(tokenizer), **(settings or {})}
    for key, value in written.items():
        if key not in leave_out:
            _add(writer, key, value)
    for name, weights in {**_tensors(model, architecture), **(tensors or {})}.items():
        if name in leave_out:
            continue
        kind = quantization if weights.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quantize(weights, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _settings(model: PreTrainedModel, architecture: str) -> dict:
    config = model.config
    rope = config.rope_parameters
    theta = rope["full_attention"]["rope_theta"] if "full_attention" in rope else rope["rope_theta"]
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    values = {
        "context_length": config.max_position_embeddings,
        "block_count": config.num_hidden_layers,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.freq_base": float(theta),
    }
    if architecture == "llama":
        values |= {"rope.dimension_count": head_dim, "vocab_size": config.vocab_size}
    if architecture in ("qwen3", "gemma3"):
        values |= {"attention.key_length": head_dim, "attention.value_length": head_dim}
    if architecture == "gemma3":
        values["attention.sliding_window"] = config.sliding_window
    return {f"{architecture}.{key}": value for key, value in values.items()} | {"general.name": "Tiny"}


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> dict:
    known = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]
    special = {token["content"] for token in known["added_tokens"]}
    prefix = "tokenizer.ggml"
    return {
        f"{prefix}.model": "gpt2",
        f"{prefix}.pre": "gpt-2",
        f"{prefix}.tokens": tokens,
        f"{prefix}.token_type": [CONTROL if token in special else NORMAL for token in tokens],
        f"{prefix}.merges": [" ".join(merge) for merge in known["model"]["merges"]],
        f"{prefix}.bos_token_id": tokenizer.bos_token_id,
        f"{prefix}.eos_token_id": tokenizer.eos_token_id,
        f"{prefix}.add_bos_token": True,
    }


def _add(writer: gguf.GGUFWriter, key: str, value) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case list():
            writer.add_array(key, value)


def _tensors(model: PreTrainedModel, architecture: str) -> dict[str, np.ndarray]:
    [arch] = [number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture]
    names = gguf.get_tensor_name_map(arch, model.config.num_hidden_layers)
    found = {}
    for name, weights in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        values = weights.float().numpy()
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = model.config.num_attention_heads if "q_proj" in name else model.config.num_key_value_heads
            values = _interleaved(values, heads)
        if architecture == "gemma3" and "norm" in name:
            values = values + 1
        stem, suffix = name.rsplit(".", 1)
        found[f"{names.get_name(stem)}.{suffix}"] = np.ascontiguousarray(values)
    return found


def _interleaved(weights: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a head in llama.cpp's order, the two halves of each rotated pair side by side."""
    split = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return split.swapaxes(1, 2).reshape(weights.shape)


def logits(folder: Path, ids: list[int], **options) -> torch.Tensor:
    """float32 logits [tokens, vocabulary] of a checkpoint folder."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).eval()
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0]
