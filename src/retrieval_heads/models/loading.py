"""Load any Hugging Face causal model, on the attention that suits it, or refuse it by name."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from retrieval_heads.models.architecture import ModelInfo, examine, needs_eager
from retrieval_heads.models.checkpoint.composite import loadable
from retrieval_heads.models.checkpoint.faults import check_files
from retrieval_heads.models.checkpoint.files import deciding_files
from retrieval_heads.models.checkpoint.reading import read_saved_config, read_tokenizer
from retrieval_heads.models.checkpoint.rope_settings import put_rope
from retrieval_heads.models.checkpoint.tensors import check_whole, load_whole
from retrieval_heads.models.kernels import FLASH, fastest_kernel, flash_hindrance
from retrieval_heads.models.rotary import fix_frequencies, refuse_untried, set_window
from retrieval_heads.models.unsupported import ModelError, refuse_unsupported, text_config


@dataclass(frozen=True)
class Loaded:
    """A model ready for the probe, its tokenizer and its info."""

    model: PreTrainedModel
    tokenizer: Any
    info: ModelInfo


def load(
    path: str,
    *,
    revision: str | None = None,
    dtype: str = "float32",
    attention: str = "auto",
    device: str = "auto",
    quantization: str | None = None,
    rope: Mapping[str, Any] | None = None,
    window: int | None = None,
) -> Loaded:
    """Load model and tokenizer from a folder or a hub name.

    attention: auto | flash_attention_2 | sdpa | eager. device: auto (all GPUs that are there, else the CPU),
    cpu, cuda:N, or a `device_map` policy such as balanced. quantization: None | 4bit | 8bit (bitsandbytes).
    rope, window: see `read_config`.
    Raises `ModelError` before any weight is read when the architecture cannot be served, and for a checkpoint that is
    not whole.
    """
    config = read_config(path, revision=revision, rope=rope, window=window)
    check_files(path)
    options: dict[str, Any] = {"config": config, "revision": revision, "dtype": dtype}
    options["device_map"] = _device_map(device)
    if quantization:
        options["quantization_config"] = _quantization(quantization, dtype)
    kernel = "eager" if needs_eager(config) and attention == "sdpa" else attention
    if attention == "auto":
        kernel = fastest_kernel(config, device, dtype)
    elif attention == FLASH and (hindrance := flash_hindrance(config, dtype)):
        raise ModelError(f"attention '{FLASH}' cannot be used: {hindrance}; set models.<name>.attention to auto")
    model = load_whole(path, attn_implementation=kernel, **options)
    if options["device_map"] is not None:
        refuse_offloading(getattr(model, "hf_device_map", None) or {})
    return wrap(model, read_tokenizer(path, revision))


def refuse_offloading(placed: Mapping[str, Any]) -> None:
    """Raise `ModelError` where parts of a model were put on the CPU or on disk because the cards are full.

    placed: module -> device, as accelerate tells it. Such a model answers right, a hundred times slower.
    """
    elsewhere = [module for module, where in placed.items() if str(where) in ("cpu", "disk")]
    if elsewhere:
        raise ModelError(
            f"the model does not fit on the cards: {len(elsewhere)} of {len(placed)} modules, {elsewhere[0]} the "
            "first, were put on the CPU or on disk; set models.<name>.gpus to more cards, or models.<name>.quantization"
        )


def read_config(
    path: str, *, revision: str | None = None, rope: Mapping[str, Any] | None = None, window: int | None = None
) -> Any:
    """The configuration of a checkpoint, refused by `ModelError` when it cannot be served.

    rope: settings of the rotary embedding put over the checkpoint's (`rope_type`, `factor`, `rope_theta`,
    `original_max_position_embeddings`), for models that were trained with a factor which their files do not name.
    window: longest input in tokens, in place of the checkpoint's.
    """
    config = read_saved_config(path, revision)
    refuse_unsupported(config)
    config = loadable(path, config)
    text = text_config(config)
    if rope:
        put_rope(path, text, rope)
    refuse_untried(config)
    if window:
        set_window(config, window)
    return config


def wrap(model: PreTrainedModel, tokenizer: Any) -> Loaded:
    """Take a model that is in memory; it is switched to evaluation mode and its weights are frozen."""
    refuse_unsupported(model.config)
    refuse_untried(model.config)
    model.eval().requires_grad_(False)
    if needs_eager(model.config) and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation("eager")
    return Loaded(model, tokenizer, examine(model))


def describe(path: str, rope: Mapping[str, Any] | None = None, window: int | None = None) -> dict[str, Any]:
    """The info of a checkpoint folder as JSON-able values, read without its weights. rope, window: see `read_config`.

    Keys: those of `ModelInfo.as_dict` and `files`, name -> SHA-256. Raises `ModelError` when it cannot be served, or is
    not whole: files, tokenizer, names and shapes of all tensors.
    """
    config = read_config(path, rope=rope, window=window)
    check_files(path)
    read_tokenizer(path)
    check_whole(path, config)
    # Frequencies that depend on positions are not to be had from a model without values.
    fix_frequencies(config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="eager")
    # Some families look for padding among the ids of the trial run, which have no values here.
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.warn_if_padding_and_no_attention_mask = lambda *args: None
    files = {file.relative_to(path).as_posix(): _sha256(file) for file in deciding_files(Path(path))}
    return {**examine(model.eval()).as_dict(), "files": files}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _device_map(device: str) -> Any:
    if device == "auto":
        device = "auto" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return None
    return {"": device} if device.startswith(("cuda", "mps")) else device


def _quantization(name: str, dtype: str) -> Any:
    from transformers import BitsAndBytesConfig

    if name not in ("4bit", "8bit"):
        raise ModelError(f"quantization '{name}' is unknown; use 4bit, 8bit or leave it out")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(f"quantization '{name}' needs the package bitsandbytes; install it or leave the key out")
    return BitsAndBytesConfig(
        load_in_4bit=name == "4bit", load_in_8bit=name == "8bit", bnb_4bit_compute_dtype=getattr(torch, dtype)
    )
