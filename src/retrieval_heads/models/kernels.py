"""Which attention a model is loaded on, by its dtype, its cards and what its family can do."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from retrieval_heads.models.architecture import needs_eager
from retrieval_heads.models.unsupported import text_config

FLASH = "flash_attention_2"
# What flash-attn 2 takes: half precision, cards from Ampere on, heads of at most so many values
# (https://github.com/Dao-AILab/flash-attention#nvidia-cuda-support).
FLASH_DTYPES, FLASH_CAPABILITY, FLASH_HEAD = ("float16", "bfloat16"), (8, 0), 256


def fastest_kernel(config: Any, device: str, dtype: str) -> str:
    """The attention that a model is loaded on: flash attention where it is installed, can be used and is supported."""
    if device != "cpu" and flash_hindrance(config, dtype) == "":
        return FLASH
    return "eager" if needs_eager(config) else "sdpa"


def flash_hindrance(config: Any, dtype: str) -> str:
    """Why flash attention cannot be used for a model here; empty when it can."""
    if importlib.util.find_spec("flash_attn") is None:
        return "flash-attn is not installed"
    if not torch.cuda.is_available():
        return "there is no card"
    if dtype not in FLASH_DTYPES:
        return f"flash-attn does not know {dtype}"
    capabilities = [torch.cuda.get_device_capability(card) for card in range(torch.cuda.device_count())]
    if min(capabilities) < FLASH_CAPABILITY:
        return f"a card has compute capability {'.'.join(map(str, min(capabilities)))}, below 8.0"
    if (widest := widest_head(config)) > FLASH_HEAD:
        return f"heads of {widest} values are wider than {FLASH_HEAD}"
    return "" if takes_flash(config) else "the family does not support it"


def takes_flash(config: Any) -> bool:
    """Whether a family runs on flash-attn: some list kernels of the hub alone, which cannot be fetched offline."""
    family = AutoModelForCausalLM._model_mapping.get(type(config), None)
    named = getattr(family, "_compatible_flash_implementations", None)
    return bool(getattr(family, "_supports_flash_attn", False)) and (named is None or FLASH in named)


def widest_head(config: Any) -> int:
    """Values of the widest head's key, as the configuration tells it."""
    text = text_config(config)
    sizes = [getattr(text, name, None) or 0 for name in ("head_dim", "global_head_dim", "v_head_dim")]
    latent = [getattr(text, name, None) or 0 for name in ("qk_nope_head_dim", "qk_rope_head_dim")]
    plain = text.hidden_size // text.num_attention_heads if not any(sizes) and hasattr(text, "hidden_size") else 0
    return max(*sizes, sum(latent), plain)
