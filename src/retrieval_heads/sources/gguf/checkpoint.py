"""A GGUF file made into an ordinary checkpoint folder, once: weights dequantised by transformers' own reader.

transformers reads GGUF and refuses to save what it read; it passes over what it does not know (tensors, settings of the
rotary embedding, end tokens) without a word. Here whatever it would pass over is taken over or refused by name, so that
the checkpoint is the model that llama.cpp runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, GgufConfig, PreTrainedModel
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
)

from retrieval_heads.models.unsupported import refuse_unsupported
from retrieval_heads.sources.gguf.header import RECORD, REMEDY, GgufError, Header, read_header, refuse_unread, sha256
from retrieval_heads.sources.gguf.rope import FREQUENCIES, rope_parameters
from retrieval_heads.sources.gguf.tokenizer import build_tokenizer, read_vocabulary

# Setting of the file -> the same of the checkpoint's config; where transformers' reader leaves one out, the two must
# agree already. None: llama.cpp's own affair, or read elsewhere.
SETTINGS: dict[str, str | None] = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "vocab_size": "vocab_size",
    "rope.dimension_count": None,
    "rope.freq_base": None,
    "rope.scaling.type": None,
    "rope.scaling.factor": None,
    "rope.scaling.original_context_length": None,
    "rope.scaling.finetuned": None,
    "tensor_data_layout": None,
}


def convert(file: Path, folder: Path, dtype: str, key: str) -> dict[str, Any]:
    """Write the checkpoint of `file` into `folder`; returns what `gguf.json` in it says.

    dtype: of the checkpoint's weights, rounded once as in a load of that dtype. key: of the config, named in errors.
    Raises `GgufError` or `ModelError` for a file that cannot be read, and for one that would be read wrongly.
    """
    header = read_header(file, key)
    refuse_unread(header, file, key)
    vocabulary = read_vocabulary(file, key)
    tokenizer = build_tokenizer(vocabulary)
    model = read_model(file, header, dtype, key)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config, name, getattr(vocabulary, name))
    model.generation_config = GenerationConfig(
        bos_token_id=vocabulary.bos_token_id,
        eos_token_id=list(vocabulary.ends) or None,
        pad_token_id=vocabulary.pad_token_id,
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    record = {
        "file": file.name,
        "sha256": sha256(file),
        "architecture": header.architecture,
        "name": header.values.get("general.name"),
        **header.quantization(),
    }
    Path(folder, RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def read_model(file: Path, header: Header, dtype: str, key: str) -> PreTrainedModel:
    """The model of a GGUF file on the CPU, dequantised, as an ordinary model that can be saved."""
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    config = AutoConfig.from_pretrained(**source)
    refuse_unsupported(config)
    head_dim = header.values.get(f"{header.architecture}.attention.key_length")
    if head_dim is not None:
        config.head_dim = head_dim
    config.rope_parameters = rope_parameters(file, header, config.rope_parameters, key)
    for setting, said, taken in disagreements(header, config):
        raise GgufError(f"{key}: '{file}' says {setting} = {said}, and transformers' reader makes it {taken}; {REMEDY}")
    model, loading = AutoModelForCausalLM.from_pretrained(
        **source,
        config=config,
        dtype=getattr(torch, dtype),
        quantization_config=GgufConfig(dequantize=True),
        output_loading_info=True,
    )
    passed_over = {tensor.name for tensor in header.tensors} - _read_tensors(model, header) - {FREQUENCIES}
    if passed_over or loading["missing_keys"] or loading["mismatched_keys"]:
        names = sorted(passed_over) or sorted(map(str, [*loading["missing_keys"], *loading["mismatched_keys"]]))
        raise GgufError(
            f"{key}: '{file}' and the architecture '{header.architecture}' of transformers do not have the same "
            f"tensors: {', '.join(names[:3])} ({len(names)} in all); {REMEDY}"
        )
    # What is dequantised is an ordinary model; only the note of where it comes from keeps it from being saved.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config.architectures = [type(model).__name__]
    model.config._name_or_path = ""
    return model


def disagreements(header: Header, config: Any) -> Iterator[tuple[str, Any, Any]]:
    """(setting, what the file says, what the config says) of each setting of the family that was not taken over."""
    prefix = f"{header.architecture}."
    for name, said in header.values.items():
        if not name.startswith(prefix):
            continue
        setting = name.removeprefix(prefix)
        if setting not in SETTINGS or name in header.arrays:
            yield name, said, "nothing"
        elif SETTINGS[setting]:
            taken = getattr(config, SETTINGS[setting], None)
            if taken is None or abs(float(taken) - float(said)) > 1e-6 * abs(float(said)):
                yield name, said, taken


def _read_tensors(model: PreTrainedModel, header: Header) -> set[str]:
    processor = TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)(config={})
    return set(get_gguf_hf_weights_map(model, processor))
