"""Model types that cannot be served, each by name and with its reason."""

from __future__ import annotations

from typing import Any

REMEDY = "choose a model whose attention goes through the transformers attention interface (docs/architectures.md)"
NO_INTERFACE = "its attention does not go through the transformers attention interface"
_SPARSE = "it attends to a selected or compressed set of keys, so softmax(q·K) is not its attention row"
_WINDOW = "its fused and its eager attention treat the sliding window differently"
_NO_SOFTMAX = "it has no softmax attention, so it has no attention heads"
_OLD = ("bloom", "codegen", "falcon", "gpt_neo", "gpt_neox_japanese", "gptj", "mpt", "xglm")
# ASSUME: transformers 5.23. The trial run finds those of the old style too; here it is before the download.
UNSUPPORTED = {
    **dict.fromkeys(_OLD, NO_INTERFACE),
    **dict.fromkeys(("deepseek_v32", "glm_moe_dsa", "axk2", "deepseek_v4", "inkling2_text"), _SPARSE),
    **dict.fromkeys(("granite_swa", "granitemoe_swa"), _WINDOW),
    **dict.fromkeys(("zamba", "zamba2"), "one attention block is shared by many layers"),
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"), _NO_SOFTMAX),
    "diffllama": "a head's output is the difference of two attentions",
    "doge": "its own mask does not fit a block of tokens onto a filled cache",
    "jetmoe": "each head's output goes through experts, not through one output projection",
    "minimax": "it keeps a cache of its own, in some layers only",
    "recurrent_gemma": "it keeps its recurrent state outside the cache",
}
# Served, but their recurrent layers start anew when a block of tokens follows a filled cache.
ONE_BLOCK_ONLY = frozenset({"jamba"})


class ModelError(ValueError):
    """A model that cannot be served; the message names it, the reason and the remedy."""


def text_config(config: Any) -> Any:
    """The language model's part of a configuration."""
    return config.get_text_config(decoder=True)


def refusal(family: str, reason: str) -> ModelError:
    """The error that refuses a model type."""
    return ModelError(f"model type '{family}' cannot be probed: {reason}; {REMEDY}")


def refuse_unsupported(config: Any) -> None:
    """Raise `ModelError` when a model type is known not to be servable."""
    family = text_config(config).model_type
    if family in UNSUPPORTED:
        raise refusal(family, UNSUPPORTED[family])
