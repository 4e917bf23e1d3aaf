"""Load any Hugging Face causal model, say what it is, and refuse by name what cannot be measured."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from retrieval_heads.attention import INTERFACES

# Model types tried with transformers 5.23.0 (131 of them; docs/architectures.md), and why these are refused.
OLD_STYLE = "its attention does not go through transformers' attention interface"
REFUSED = {
    **dict.fromkeys(("bloom", "codegen", "falcon", "gpt_neo", "gpt_neox_japanese", "gptj", "mpt", "xglm"), OLD_STYLE),
    **dict.fromkeys(("deepseek_v32", "glm_moe_dsa", "axk2"), "its sparse index hides keys from the attention row"),
    "deepseek_v4": "its keys are compressed, so a row is not over tokens",
    **dict.fromkeys(("inkling2_text", "granite_swa", "granitemoe_swa"), "its rows differ from eager attention's"),
    "diffllama": "the output of a head is the difference of two attentions",
    "minimax": "it keeps a cache of its own",
    "zamba2": "its attention block is shared between layers",
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm", "recurrent_gemma"), "it has no softmax attention"),
}
# How the projection behind the heads is called, by family.
OUTPUT_PROJECTIONS = ("o_proj", "out_proj", "dense", "c_proj", "wo")


class ModelError(ValueError):
    """A model that cannot be used; the message names it, the reason and the remedy."""


@dataclass(frozen=True)
class Facts:
    """What an architecture looks like. window: tokens, None where the config states none."""

    model_type: str
    layers: int
    attention_layers: tuple[int, ...]
    heads: int
    kv_heads: int
    head_dim: int
    hidden_size: int
    window: int | None
    parameters: int


@dataclass(frozen=True)
class Loaded:
    """A model ready to be measured, with its tokenizer and facts."""

    model: nn.Module
    tokenizer: object
    facts: Facts


def check_type(model_type: str) -> None:
    """Raise `ModelError` for a type that is known not to work."""
    if model_type in REFUSED:
        raise ModelError(
            f"models of type '{model_type}' are refused: {REFUSED[model_type]}; choose another model, or give head "
            "scores made elsewhere"
        )


def choose_attention(wanted: str) -> str:
    """The fastest kernel of this machine, unless one is asked for."""
    if wanted != "auto":
        return wanted
    return "flash_attention_2" if torch.cuda.is_available() and find_spec("flash_attn") else "sdpa"


def load(
    checkpoint: str, *, dtype: str = "float32", attention: str = "auto", quantization: str = "none"
) -> Loaded:
    """Load a checkpoint in evaluation mode, on all visible GPUs or else on the CPU.

    Raises `ModelError` for a type that is refused, and for one whose attention layers cannot be found.
    """
    check_type(AutoConfig.from_pretrained(checkpoint).model_type)
    quantized = {"8bit": {"load_in_8bit": True}, "4bit": {"load_in_4bit": True}}.get(quantization)
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint,
        dtype=getattr(torch, dtype),
        attn_implementation=INTERFACES[choose_attention(attention)],
        device_map="auto" if torch.cuda.is_available() else None,
        quantization_config=BitsAndBytesConfig(**quantized) if quantized else None,
    )
    model.eval().requires_grad_(False)
    return Loaded(model, AutoTokenizer.from_pretrained(checkpoint), read_facts(model))


def attention_modules(model: nn.Module) -> dict[int, nn.Module]:
    """The softmax attention of each layer that has one, by the model's own layer number."""
    found = {}
    for module in model.modules():
        if isinstance(getattr(module, "layer_idx", None), int) and hasattr(module, "scaling"):
            if any(hasattr(module, name) for name in OUTPUT_PROJECTIONS):
                found[module.layer_idx] = module
    return dict(sorted(found.items()))


def output_projection(attention: nn.Module) -> nn.Module:
    """The projection that adds the heads of one layer to the residual stream; its input is head-major."""
    return next(getattr(attention, name) for name in OUTPUT_PROJECTIONS if hasattr(attention, name))


def read_facts(model: nn.Module) -> Facts:
    """The facts of a loaded model; raises `ModelError` when it has no attention that the probe can see."""
    config = model.config.get_text_config()
    modules = attention_modules(model)
    if not modules:
        raise ModelError(f"models of type '{config.model_type}' are refused: no attention layer was recognised")
    heads = config.num_attention_heads
    return Facts(
        model_type=config.model_type,
        layers=config.num_hidden_layers,
        attention_layers=tuple(modules),
        heads=heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        hidden_size=config.hidden_size,
        window=getattr(config, "max_position_embeddings", None),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


def describe(checkpoint: str) -> dict:
    """Facts and SHA-256 of every file of a checkpoint, without reading its weights into memory."""
    config = AutoConfig.from_pretrained(checkpoint)
    check_type(config.model_type)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    files = sorted(path for path in Path(checkpoint).iterdir() if path.suffix in (".json", ".safetensors", ".model"))
    return {**asdict(read_facts(model)), "files": {path.name: _sha256(path) for path in files}}


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
