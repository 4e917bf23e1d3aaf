"""Mean outputs of heads, which take a head's place under the mask mode `mean_output`.

They come from a fixed set of prompts, the first of the whole study: never from those that a job happens to have left,
or a job that was resumed, or that has one needle's cells, would mask with other values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from transformers.cache_utils import DynamicCache

from retrieval_heads.engine.prefill import feed
from retrieval_heads.models.loading import Loaded
from retrieval_heads.models.out_of_memory import shortage_named

# Prompts from which means are taken: the first of all that a study asks.
CALIBRATION_PROMPTS = 8
# Tokens that are summed in float64 at a time: a float64 copy of a long prompt would be larger than its cache.
SUMMED = 1024


def calibration_key(sequences: Sequence[Sequence[int]]) -> str:
    """SHA-256 of the token ids that means are taken from: what a result under `mean_output` depends on."""
    return hashlib.sha256(json.dumps([list(ids) for ids in sequences]).encode()).hexdigest()


@torch.inference_mode()
def calibrate_means(loaded: Loaded, sequences: Sequence[Sequence[int]]) -> dict[int, torch.Tensor]:
    """Mean output of every head over all tokens of some sequences: layer -> float32 [heads, value_dim] on the CPU.

    Sequences are prefilled one by one, in the engine's blocks: no matrix of tokens x tokens is made.
    """
    sums: dict[int, torch.Tensor] = {}

    def add(layer: int):
        def hook(module, args):
            for part in args[0].flatten(0, 1).split(SUMMED):
                found = part.double().sum(0)
                sums[layer] = sums[layer] + found if layer in sums else found

        return hook

    with ExitStack() as stack:
        for layer, module in loaded.info.projections.items():
            stack.callback(module.register_forward_pre_hook(add(layer)).remove)
        for ids in sequences:
            with shortage_named("the prefill that means are taken from", "the lengths of the prompts"):
                feed(loaded, DynamicCache(config=loaded.model.config), [ids])
    tokens = sum(len(ids) for ids in sequences)
    return {
        layer: (total / tokens).float().reshape(loaded.info.heads[layer], -1).cpu()
        for layer, total in sorted(sums.items())
    }
