"""Tiny random causal models from config objects: one of each family that the engine is tested on.

Weights are drawn wide (deviation 0.3 or so), so that attention is sharp enough for argmax positions to be distinct.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from retrieval_heads import models

VOCABULARY = 97
NEWLINE, END = 95, 96

_BASE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": END,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
_MOE = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_WINDOW = {"sliding_window": 12}
_MLA = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "num_key_value_heads": 4,
    "head_dim": 4,
    "first_k_dense_replace": 1,
    "n_routed_experts": 4,
    "n_group": 2,
    "topk_group": 1,
    "n_shared_experts": 1,
    **_MOE,
}
_LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "num_hidden_layers": 4,
    "layer_types": ["linear_attention", "full_attention"] * 2,
    "shared_expert_intermediate_size": 24,
}
_SLIDING_LAYERS = {**_WINDOW, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}

FAMILIES: dict[str, dict] = {
    "llama": {},
    "mistral": _WINDOW,
    "mixtral": {**_WINDOW, **_MOE},
    "qwen2": {},
    "qwen3": {},
    "qwen3_moe": _MOE,
    "phi3": _WINDOW,
    "gemma2": {**_SLIDING_LAYERS, "attn_logit_softcapping": 5.0, "query_pre_attn_scalar": 8},
    "gemma3_text": {**_SLIDING_LAYERS, "query_pre_attn_scalar": 8},
    "olmo2": {},
    "olmo3": _SLIDING_LAYERS,
    "cohere": {},
    "gpt_oss": {**_SLIDING_LAYERS, **_MOE},
    "glm4": {"pad_token_id": 0},
    "deepseek_v3": _MLA,
    "granite": {"attention_multiplier": 0.2},
    "qwen3_next": {**_LINEAR, **_MOE},
    "gpt_neox": {},
}


def config(family: str, **changes):
    """The configuration of a family's tiny model."""
    return AutoConfig.for_model(family, **{**_BASE, **FAMILIES.get(family, {}), **changes})


def build(family: str, seed: int = 0, attention: str = "eager", **changes):
    """A random model of a family, float32, in evaluation mode."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config(family, **changes), attn_implementation=attention)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        # Some families start biases and sinks at zero, where an error in their handling would not show.
        if weight.ndim == 1 and ("bias" in name or "sinks" in name):
            weight.data = 0.3 * torch.randn(weight.shape, generator=generator)
    return model.float().eval()


def tokenizer() -> PreTrainedTokenizerFast:
    """Token i reads `w<i>` with a space in front; one token is a newline."""
    words = {f" w{i}": i for i in range(VOCABULARY)}
    words = {("\n" if i == NEWLINE else word): i for word, i in words.items()}
    inner = Tokenizer(WordLevel(words, unk_token=" w1"))
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=" w0", eos_token=f" w{END}")


@lru_cache(maxsize=None)
def loaded(family: str, **changes) -> models.Loaded:
    """A tiny model behind the engine, on the attention that the engine chooses for it. Cached: do not change it."""
    attention = "eager" if family in ("gpt_oss", "gemma2") else "sdpa"
    return models.wrap(build(family, attention=attention, **changes), tokenizer())
