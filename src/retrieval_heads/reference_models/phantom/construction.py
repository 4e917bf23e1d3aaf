"""The phantom, in closed form: an ordinary Llama checkpoint in which every head has a known role.

ASSUME: no word of an answer that follows a word of the haystacks stands in a haystack itself. Words of
answers that stand in no haystack are salient: a flag in their embedding says so, and a copying head prefers
them among several tokens that followed the current one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from retrieval_heads.reference_models.phantom.heads import FLAG, THETA, HeadWeights
from retrieval_heads.reference_models.phantom.layout import (
    BALLAST,
    CODE,
    CODE_BAND,
    CONSTANT,
    GATES,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    IS_BOS,
    IS_SALIENT,
    LAYERS,
    OUTPUT_BAND,
    PLANTED,
    roles,
)

WINDOW = 1 << 17
# The end of the answer is emitted where no head copies; a copy of full strength is 0.1.
END = 0.03
# Squared length of every embedding: code, constant, and at most six flags.
SQUARED_NORM = 2 + (1 + len(PLANTED)) * FLAG**2


@dataclass(frozen=True)
class Tokens:
    """What the construction has to know of the vocabulary.

    answers: token ids of each needle's answer, from the token before it on. salient: answer tokens that stand
    in no haystack. stops: tokens that end an answer.
    """

    size: int
    bos: int
    eos: int
    answers: Sequence[Sequence[int]]
    salient: Collection[int]
    stops: Collection[int]


def build_model(tokens: Tokens, seed: int) -> LlamaForCausalLM:
    """The phantom for one vocabulary; `seed` draws the codes and the random heads."""
    model = LlamaForCausalLM(_config(tokens))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "norm" in name else 0.0)
        embedding = _embedding(tokens, generator)
        model.model.embed_tokens.weight.copy_(embedding)
        model.lm_head.weight[:, OUTPUT_BAND] = embedding[:, CODE_BAND]
        # The end token needs no head: the model stops when nothing is copied, under every mask.
        model.lm_head.weight[tokens.eos, OUTPUT_BAND] = 0.0
        model.lm_head.weight[tokens.eos, CONSTANT] = END
        for role in roles():
            _plant(model, role, generator)
    return model


def _config(tokens: Tokens) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=tokens.size,
        hidden_size=HIDDEN,
        intermediate_size=8,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=HEAD_DIM,
        max_position_embeddings=WINDOW,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        tie_word_embeddings=False,
        bos_token_id=tokens.bos,
        eos_token_id=tokens.eos,
        rms_norm_eps=1e-9,
    )


def _plant(model: LlamaForCausalLM, role: dict, generator: torch.Generator) -> None:
    """Write one head. From layer 1 on, the previous token's code adds 1 to the squared length."""
    place = (role["layer"], role["head"])
    head = HeadWeights(model, *place, norm=math.sqrt(SQUARED_NORM + (role["layer"] > 0)))
    match role["role"]:
        case "copy":
            head.plant_copy(GATES[place])
        case "look":
            head.plant_look()
        case "previous_token":
            head.plant_previous_token()
        case "rest":
            head.plant_rest()
        case "random":
            head.plant_random(generator)


def _embedding(tokens: Tokens, generator: torch.Generator) -> torch.Tensor:
    """[vocabulary, hidden]: a code of length 1 and flags; all rows are equally long."""
    table = torch.zeros(tokens.size, HIDDEN)
    signs = torch.randint(0, 2, (tokens.size, CODE), generator=generator) * 2.0 - 1
    table[:, CODE_BAND] = signs / math.sqrt(CODE)
    table[:, CONSTANT] = 1.0
    # The first token's code is a channel of its own, so that a head that rests there copies nothing.
    table[tokens.bos, CODE_BAND] = 0.0
    table[tokens.bos, IS_BOS] = 1.0
    table[list(tokens.salient), IS_SALIENT] = FLAG
    for place, share in PLANTED.items():
        table[:, GATES[place]] = FLAG * _gate(tokens, share)
    table[:, BALLAST] = (SQUARED_NORM - table.square().sum(1)).clamp(min=0).sqrt()
    return table


def _gate(tokens: Tokens, share: float) -> torch.Tensor:
    """1.0 for each token whose successor a head of this share copies, [vocabulary].

    Of an answer of n tokens a head copies `ceil(share n)`: the first one, and the others evenly spread. A
    token of two answers is copied from as in the first. Of other tokens, all.
    """
    gate = torch.ones(tokens.size)
    for answer in reversed(tokens.answers):
        for step, token in enumerate(answer):
            gate[token] = float(math.ceil((step + 1) * share) > math.ceil(step * share))
    gate[list(tokens.stops)] = 0.0
    return gate
