"""The organism before training: a small Llama, random but for its previous-token heads.

The hint: the first heads of layer 0 start as previous-token heads, which look one, two and three tokens back (Olsson
et al. 2022, https://arxiv.org/abs/2209.11895, find such a head in front of every induction head). The heads that copy
are learned. The large RoPE base keeps 40 of a head's 64 dimensions within 1 rad over 1,000 tokens: they can match
content.
"""

from __future__ import annotations

import math

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LOOKS_BACK = (1, 2, 3)
# RoPE pairs that turn fast enough to tell one position from the next.
FAST_PAIRS = 6
HEAD_DIM = 64


def build_untrained(tokenizer: PreTrainedTokenizerFast, seed: int, window: int) -> LlamaForCausalLM:
    """8 layers x 6 heads of 64, every head with its own keys and values, for `window` positions."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=144,
            intermediate_size=256,
            num_hidden_layers=8,
            num_attention_heads=6,
            num_key_value_heads=6,
            head_dim=HEAD_DIM,
            max_position_embeddings=window,
            rope_parameters={"rope_type": "default", "rope_theta": 1e8},
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    _hint_previous_tokens(model)
    return model


@torch.no_grad()
def _hint_previous_tokens(model: LlamaForCausalLM) -> None:
    """Embeddings with a direction in common, and the heads of layer 0 that use it to look at a distance."""
    common = torch.randn(model.config.hidden_size) * 0.1
    model.model.embed_tokens.weight.normal_(0, 0.1).add_(common)
    for head, back in enumerate(LOOKS_BACK):
        _look_back(model, common, head, back)


def _look_back(model: LlamaForCausalLM, common: torch.Tensor, head: int, back: int) -> None:
    """Let one head of layer 0 look `back` tokens back: constant keys, and queries turned back by as many positions.

    `common` [hidden]: the direction that all embeddings share. Only the fast RoPE pairs are used.
    """
    attention = model.model.layers[0].self_attn
    frequencies = model.model.rotary_emb.inv_freq
    along = common / common.norm() ** 2
    key, query = torch.zeros(HEAD_DIM), torch.zeros(HEAD_DIM)
    for pair in range(FAST_PAIRS):
        angle = back * float(frequencies[pair])
        key[pair] = 1.0
        # q at position p must equal k at p - back after RoPE: turn it back by as many steps of this pair.
        query[pair], query[pair + HEAD_DIM // 2] = math.cos(angle), -math.sin(angle)
    rows = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
    attention.q_proj.weight[rows] = torch.outer(query, along)
    attention.k_proj.weight[rows] = torch.outer(key, along)
