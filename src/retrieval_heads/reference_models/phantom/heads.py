"""The weights of one head of each role.

RoPE with a huge base leaves the slow half of its pairs unrotated over any context that fits in memory, so
they match content, while the fastest pairs know positions. A copying head asks "which key followed a token
equal to the current one?" and writes that key's code: induction (Olsson et al. 2022,
https://arxiv.org/abs/2209.11895).
"""

from __future__ import annotations

import math

import torch
from transformers import LlamaForCausalLM

from retrieval_heads.reference_models.phantom.layout import (
    AFTER_BOS,
    CODE,
    CODE_BAND,
    CONSTANT,
    FIRST_GATE,
    HEAD_DIM,
    IS_BOS,
    IS_SALIENT,
    OUTPUT_BAND,
    PREVIOUS_BAND,
)

# RoPE rotates dimension k together with k + HALF. Pairs from 32 on turn by at most 0.05 rad in 50,000 tokens.
THETA, HALF = 1e12, HEAD_DIM // 2
FAST = range(12)
SLOW = [*range(32, HALF), *range(32 + HALF, HEAD_DIM)]
# Two slow dimensions that matching gives up: one prefers salient keys, the other draws to the first token.
CONTENT, PREFER, ATTRACT = SLOW[:-2], SLOW[-2], SLOW[-1]

# Softmax logits: a match of equal codes; the preference for salient keys; the pull of the first token, where
# a head rests that finds nothing, and its pull under a closed gate. Random codes match within +-0.5 MATCH,
# and 50,000 keys outweigh a single one only where it leads by less than ln 50,000 = 10.8.
MATCH, SALIENT, REST, CLOSED = 100.0, 35.0, 70.0, 250.0
# Per fast pair: a position that is looked for, and the current position, which a looking head avoids.
FIND, AVOID = 60.0, 3.0
# What one copying head adds to the output, for a token's code of length 1.
COPY_GAIN = 0.1
# Flags are small, so that they cost little of the embedding's length.
FLAG = 0.1


class HeadWeights:
    """The slices of one head's weights, for inputs of length `norm` that RMSNorm is about to scale."""

    def __init__(self, model: LlamaForCausalLM, layer: int, head: int, norm: float) -> None:
        attention = model.model.layers[layer].self_attn
        rows = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
        self.query, self.key = attention.q_proj.weight[rows], attention.k_proj.weight[rows]
        self.value, self.output = attention.v_proj.weight[rows], attention.o_proj.weight[:, rows]
        self.scale = math.sqrt(model.config.hidden_size) / norm
        # q.k is divided by sqrt(head_dim): undo it, so that logits are what is written here.
        self.sharpness = math.sqrt(HEAD_DIM) / self.scale**2
        self.frequencies = model.model.rotary_emb.inv_freq

    def plant_copy(self, gate: int) -> None:
        """Look at the token that followed the current one before, and write its code to the output.

        Where the channel `gate` is off, the first token draws more than any match; nothing is copied there.
        """
        self._match(PREVIOUS_BAND, CLOSED)
        self.query[ATTRACT, gate] = (REST - CLOSED) * self.sharpness / FLAG
        self._copy(CODE_BAND, OUTPUT_BAND, COPY_GAIN)

    def plant_look(self) -> None:
        """Look at an earlier token equal to the current one; the token to copy would be one further on."""
        self._match(CODE_BAND, REST)
        self._favour_distance(0, -AVOID)

    def plant_previous_token(self) -> None:
        """Look one position back, and write the code found there into the previous band."""
        self._favour_distance(1, FIND)
        self._copy(CODE_BAND, PREVIOUS_BAND, 1.0)
        self.value[CODE, IS_BOS] = 1 / self.scale
        self.output[AFTER_BOS, CODE] = 1.0

    def plant_rest(self) -> None:
        """Rest on the first token, and write nothing."""
        self.query[ATTRACT, CONSTANT] = REST * self.sharpness
        self.key[ATTRACT, IS_BOS] = 1.0

    def plant_random(self, generator: torch.Generator) -> None:
        """Small random weights: attention without a purpose, and an output that decides nothing."""
        drawn = ((self.query, 0.1), (self.key, 0.1), (self.value, 0.1), (self.output, 0.0001))
        for weights, deviation in drawn:
            weights.copy_(torch.randn(weights.shape, generator=generator) * deviation)
        # Blind to the flags, or chance could make it look for salient tokens.
        self.query[:, IS_SALIENT : FIRST_GATE + CODE] = 0.0
        self.key[:, IS_SALIENT : FIRST_GATE + CODE] = 0.0

    def _match(self, band: slice, rest: float) -> None:
        """Query: the current token's code; key: the code in `band`, with a preference for salient tokens."""
        eye = torch.eye(len(CONTENT))
        self.query[CONTENT, CODE_BAND.start : CODE_BAND.start + len(CONTENT)] = eye * MATCH * self.sharpness
        self.key[CONTENT, band.start : band.start + len(CONTENT)] = eye
        self.query[PREFER, CONSTANT] = SALIENT * self.sharpness
        self.key[PREFER, IS_SALIENT] = 1 / FLAG
        self.query[ATTRACT, CONSTANT] = rest * self.sharpness
        self.key[ATTRACT, IS_BOS] = 1.0

    def _favour_distance(self, distance: int, amount: float) -> None:
        """Constant keys in the fast pairs, and constant queries turned back by `distance` positions."""
        for pair in FAST:
            angle = distance * float(self.frequencies[pair])
            self.key[pair, CONSTANT] = 1.0
            self.query[pair, CONSTANT] = amount * math.cos(angle) * self.sharpness
            self.query[pair + HALF, CONSTANT] = -amount * math.sin(angle) * self.sharpness

    def _copy(self, source: slice, target: slice, gain: float) -> None:
        """The value is one band; it is written into another with a gain."""
        self.value[:CODE, source] = torch.eye(CODE) / self.scale
        self.output[target, :CODE] = torch.eye(CODE) * gain
