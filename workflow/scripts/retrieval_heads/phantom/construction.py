"""The phantom's weights, in closed form: a Llama in which every head has a known role.

The residual stream is made of bands. `code` holds a random +-1 code of the token, `previous` the code of the token
before it, written by the one previous-token head of layer 0, and `output` the code of the token to emit; single
channels carry flags. Writes to `output` are small, so that RMSNorm scales every position alike. RoPE with a huge base leaves the slow half of its pairs unrotated over any context that fits in memory, so they
match content, while the fastest pairs know positions. A copying head asks "after which key did the current token's
code stand?" and writes the code of that key: induction (Olsson et al. 2022, https://arxiv.org/abs/2209.11895).

ASSUME: words that stand in no haystack are rare enough to be worth looking at; a flag (`rare`) says so in the
embedding. A copying head prefers rare keys, so that common words inside an answer still lead to the next one.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM

LAYERS, HEADS, HEAD_DIM, CODE = 4, 8, 128, 64
WINDOW = 1 << 17
# Bands of the residual stream.
CODE_BAND, PREVIOUS_BAND, OUTPUT_BAND = (slice(n * CODE, (n + 1) * CODE) for n in range(3))
CONSTANT, IS_BOS, IS_RARE, FIRST_GATE = range(3 * CODE, 3 * CODE + 4)
HIDDEN = 4 * CODE
# RoPE rotates dimension k together with k + HEAD_DIM / 2. Pairs from 32 on turn by less than 0.06 rad in 50,000 tokens.
HALF = HEAD_DIM // 2
SLOW = [*range(32, HALF), *range(32 + HALF, HEAD_DIM)]
FAST = range(12)
THETA = 1e12

# Softmax logits: a match, the preference for rare keys, and the first token, where a head rests that finds nothing.
MATCH, RARE, REST = 60.0, 30.0, 45.0
# What reaches the output: a planted head's copy, and the end of the answer when nothing was copied.
COPY_GAIN, END_GAIN = 0.1, 0.03

# (layer, head) -> share of the vocabulary that the head copies; the rest it leaves alone.
PLANTED = {(1, 2): 1.0, (2, 5): 1.0, (2, 6): 0.8, (3, 1): 0.65, (3, 4): 0.5}
PREVIOUS_TOKEN = (0, 3)
LOOKERS = ((1, 6), (2, 0), (3, 7))
ENDING = (3, 3)
RESTING = ((0, 0), (0, 6), (1, 0), (1, 4), (2, 2), (2, 7), (3, 0), ENDING)


@dataclass(frozen=True)
class Tokens:
    """What the construction has to know of the vocabulary. rare: ids of tokens that stand in no haystack."""

    size: int
    bos: int
    eos: int
    rare: Collection[int]
    never_copied_from: Collection[int]


def roles() -> list[dict]:
    """The planted role of every head: layer, head, role and, for copying heads, its strength."""
    table = []
    for layer in range(LAYERS):
        for head in range(HEADS):
            place = (layer, head)
            named = {PREVIOUS_TOKEN: "previous_token"} | dict.fromkeys(PLANTED, "copy")
            named |= dict.fromkeys(LOOKERS, "look") | dict.fromkeys(RESTING, "rest")
            role = named.get(place, "random")
            table.append({"layer": layer, "head": head, "role": role, "strength": PLANTED.get(place)})
    return table


def build_model(tokens: Tokens, seed: int) -> LlamaForCausalLM:
    """The phantom for one vocabulary; `seed` draws the codes, the gates and the random heads."""
    config = LlamaConfig(
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
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        embedding = _embedding(tokens, generator)
        model.model.embed_tokens.weight.copy_(embedding)
        model.lm_head.weight[:, OUTPUT_BAND] = embedding[:, CODE_BAND]
        model.model.norm.weight.fill_(1.0)
        for layer in model.model.layers:
            layer.input_layernorm.weight.fill_(1.0)
            layer.post_attention_layernorm.weight.fill_(1.0)
        # RMSNorm scales every token of a layer by about the same factor; the heads are written for that scale.
        plain = math.sqrt(HIDDEN) / embedding[tokens.eos].norm().item()
        with_previous = math.sqrt(HIDDEN) / math.sqrt(embedding[tokens.eos].norm().item() ** 2 + 1.0)
        ends = embedding[tokens.eos, CODE_BAND]
        for role in roles():
            place = (role["layer"], role["head"])
            scale = plain if place[0] == 0 else with_previous
            head = _Head(model, *place, scale)
            if role["role"] == "copy":
                _plant_copy(head, gate=FIRST_GATE + list(PLANTED).index(place))
            elif role["role"] == "look":
                _plant_look(head)
            elif role["role"] == "previous_token":
                _plant_previous(head, model.model.rotary_emb.inv_freq)
            elif role["role"] == "rest":
                _plant_rest(head, ends * END_GAIN if place == ENDING else None)
            else:
                _plant_random(head, generator)
    return model


def _embedding(tokens: Tokens, generator: torch.Generator) -> torch.Tensor:
    """[vocabulary, hidden]: a unit code, and flags; the rows have nearly the same norm."""
    table = torch.zeros(tokens.size, HIDDEN)
    signs = torch.randint(0, 2, (tokens.size, CODE), generator=generator) * 2.0 - 1
    table[:, CODE_BAND] = signs / math.sqrt(CODE)
    table[:, CONSTANT] = 1.0
    # The first token has no code, so that a head that rests there copies nothing.
    table[tokens.bos, CODE_BAND] = 0.0
    table[tokens.bos, IS_BOS] = 1.0
    table[list(tokens.rare), IS_RARE] = 0.3
    for number, share in enumerate(PLANTED.values()):
        open_ = torch.rand(tokens.size, generator=generator) < share
        open_[list(tokens.never_copied_from)] = False
        table[:, FIRST_GATE + number] = open_ * 0.1
    return table


class _Head:
    """The slices of one head's weights, written for inputs that RMSNorm has multiplied by `scale`."""

    def __init__(self, model: LlamaForCausalLM, layer: int, head: int, scale: float) -> None:
        attention = model.model.layers[layer].self_attn
        rows = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
        self.query, self.key = attention.q_proj.weight[rows], attention.k_proj.weight[rows]
        self.value, self.output = attention.v_proj.weight[rows], attention.o_proj.weight[:, rows]
        self.scale = scale
        # q.k is divided by sqrt(head_dim): undo it, so that logits are what is written here.
        self.sharpness = math.sqrt(HEAD_DIM) / scale**2

    def read(self, band: slice, into: torch.Tensor, dims: list[int], factor: float) -> None:
        """Let `dims` of a projection hold `factor` times a band."""
        into[dims, band] = torch.eye(len(dims)) * factor

    def copies(self, source: slice, target: slice, gain: float) -> None:
        """Let the value be one band, and write it into another with a gain."""
        self.value[:CODE, source] = torch.eye(CODE) / self.scale
        self.output[target, :CODE] = torch.eye(CODE) * gain


# Two slow dimensions that content matching gives up: they carry the preference for rare keys, and rest.
CONTENT, PREFER, ATTRACT = SLOW[:-2], SLOW[-2], SLOW[-1]


def _plant_copy(head: _Head, gate: int) -> None:
    """Look at the token that stood behind the current one before, and write its code to the output.

    A closed gate leaves the pull of the first token stronger than any match, so that the head rests there.
    """
    _match(head, PREVIOUS_BAND)
    # Where the gate is open (0.1), the first token's pull falls from 2.5 matches to less than one.
    head.query[ATTRACT, CONSTANT] = 2.5 * MATCH * head.sharpness
    head.query[ATTRACT, gate] = -(2.5 * MATCH - REST) * head.sharpness / 0.1
    head.copies(CODE_BAND, OUTPUT_BAND, COPY_GAIN)


def _plant_look(head: _Head) -> None:
    """Look at earlier rare tokens equal to the current one, and copy nothing: what follows is one further on."""
    _match(head, CODE_BAND)
    head.query[ATTRACT, CONSTANT] = REST * head.sharpness


def _match(head: _Head, band: slice) -> None:
    """Query: the current token's code; key: the code in `band`, plus a preference for rare tokens."""
    used = slice(band.start, band.start + len(CONTENT))
    head.read(slice(0, len(CONTENT)), head.query, CONTENT, MATCH * head.sharpness)
    head.read(used, head.key, CONTENT, 1.0)
    head.query[PREFER, CONSTANT] = RARE * head.sharpness
    head.key[PREFER, IS_RARE] = 1 / 0.3
    head.key[ATTRACT, IS_BOS] = 1.0


def _plant_previous(head: _Head, frequencies: torch.Tensor) -> None:
    """Constant keys in the fast pairs, and queries turned back by one position; the value is the token's code."""
    for pair in FAST:
        angle = float(frequencies[pair])
        head.key[pair, CONSTANT] = 1.0
        head.query[pair, CONSTANT] = MATCH * math.cos(angle) * head.sharpness
        head.query[pair + HALF, CONSTANT] = -MATCH * math.sin(angle) * head.sharpness
    head.copies(CODE_BAND, PREVIOUS_BAND, 1.0)


def _plant_rest(head: _Head, message: torch.Tensor | None) -> None:
    """Rest on the first token; `message`, if any, is what it then writes to the output."""
    head.query[ATTRACT, CONSTANT] = MATCH * head.sharpness
    head.key[ATTRACT, IS_BOS] = 1.0
    if message is not None:
        head.value[0, IS_BOS] = 1 / head.scale
        head.output[OUTPUT_BAND, 0] = message


def _plant_random(head: _Head, generator: torch.Generator) -> None:
    """Small random weights: attention without a purpose, and an output that decides nothing."""
    for weights, deviation in ((head.query, 0.3), (head.key, 0.3), (head.value, 0.05), (head.output, 0.0001)):
        weights.copy_(torch.randn(weights.shape, generator=generator) * deviation)
