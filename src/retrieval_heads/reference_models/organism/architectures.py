"""The organisms before training: small models of ordinary architectures, random but for their previous-token heads.

The hint: the first heads of one layer start as previous-token heads, which look one, two and three tokens back (Olsson
et al. 2022, https://arxiv.org/abs/2209.11895, find such a head in front of every induction head). The heads that copy
are learned. The large RoPE base keeps 40 of a head's 64 dimensions within 1 rad over 1,000 tokens: they can match
content.
"""

from __future__ import annotations

import math

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

LOOKS_BACK = (1, 2, 3)
# The layer of the hint. Training keeps the one of layer 0 and undoes the other, and both copy in layer 1 (model card of
# the organism).
LLAMA_HINT, QWEN3_HINT = 0, 2
# RoPE pairs that turn fast enough to tell one position from the next.
FAST_PAIRS = 6
HEAD_DIM = 64


def llama(tokenizer: PreTrainedTokenizerFast, seed: int, window: int) -> LlamaForCausalLM:
    """8 layers x 6 heads of 64, every head with its own keys and values."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**_sizes(tokenizer, window), num_key_value_heads=6))
    _hint_previous_tokens(model, LLAMA_HINT)
    return model


def qwen3(tokenizer: PreTrainedTokenizerFast, seed: int, window: int) -> Qwen3ForCausalLM:
    """8 layers x 6 heads of 64, two heads to a KV group, queries and keys normalised."""
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(Qwen3Config(**_sizes(tokenizer, window), num_key_value_heads=3))
    _hint_previous_tokens(model, QWEN3_HINT)
    attention = model.model.layers[QWEN3_HINT].self_attn
    fast = [pair + half for half in (0, HEAD_DIM // 2) for pair in range(FAST_PAIRS)]
    with torch.no_grad():
        for norm in (attention.q_norm, attention.k_norm):
            # The norm leaves a logit of 8 at most, too flat to single a token out: 40 with this weight.
            norm.weight[fast] = math.sqrt(5)
    return model


def _sizes(tokenizer: PreTrainedTokenizerFast, window: int) -> dict:
    """What both architectures share."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 144,
        "intermediate_size": 256,
        "num_hidden_layers": 8,
        "num_attention_heads": 6,
        "head_dim": HEAD_DIM,
        "max_position_embeddings": window,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e8},
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


@torch.no_grad()
def _hint_previous_tokens(model, layer: int) -> None:
    """Embeddings with a direction in common, and the heads of a layer that use it to look at a distance."""
    common = torch.randn(model.config.hidden_size) * 0.1
    model.model.embed_tokens.weight.normal_(0, 0.1).add_(common)
    for head, back in enumerate(LOOKS_BACK):
        _look_back(model, common, layer, head, back)


def _look_back(model, common: torch.Tensor, layer: int, head: int, back: int) -> None:
    """Let one head of a layer look `back` tokens back: constant keys, and queries turned back by as many positions.

    `common` [hidden]: the direction that all embeddings share. Only the fast RoPE pairs are used. Heads of one KV group
    have the same keys, so may share them.
    """
    attention = model.model.layers[layer].self_attn
    frequencies = model.model.rotary_emb.inv_freq
    along = common / common.norm() ** 2
    key, query = torch.zeros(HEAD_DIM), torch.zeros(HEAD_DIM)
    for pair in range(FAST_PAIRS):
        angle = back * float(frequencies[pair])
        key[pair] = 1.0
        # q at position p must equal k at p - back after RoPE: turn it back by as many steps of this pair.
        query[pair], query[pair + HEAD_DIM // 2] = math.cos(angle), -math.sin(angle)
    attention.q_proj.weight[_rows(head)] = torch.outer(query, along)
    attention.k_proj.weight[_rows(head // attention.num_key_value_groups)] = torch.outer(key, along)


def _rows(head: int) -> slice:
    return slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
