"""Tiny models of every rotary type, and passes over whole sequences by transformers alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache

import tiny_models
import torch
from tiny_families import END, NEWLINE

from retrieval_heads.models import loading as models

# Tokens of the original window.
WINDOW = 64
_FAR = {"original_max_position_embeddings": WINDOW, "factor": 4.0}
_LONGROPE = {
    **_FAR,
    "rope_type": "longrope",
    "short_factor": [1.0, 1.2, 1.5, 2.0],
    "long_factor": [2.0, 3.0, 5.0, 9.0],
}
_PHI3 = {**_LONGROPE, "rope_theta": 1e4, "partial_rotary_factor": 1.0}
_MSCALE = {"short_mscale": 1.1, "long_mscale": 1.3}
# What the frequencies of each of these depend on is the length of the sequence.
BY_LENGTH = {
    "phi3 longrope": ("phi3", {"rope_parameters": _PHI3, "sliding_window": None}),
    "phi3 longrope with a window": ("phi3", {"rope_parameters": _PHI3, "sliding_window": 48}),
    "phimoe longrope": ("phimoe", {"rope_parameters": {**_LONGROPE, **_MSCALE}, "num_local_experts": 4}),
    "llama longrope": ("llama", {"rope_parameters": _LONGROPE}),
    "llama dynamic": ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0}, "window": WINDOW}),
    "hunyuan dynamic": (
        "hunyuan_v1_dense",
        {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0}, "window": WINDOW},
    ),
}
FIXED = {
    "llama default": ("llama", {}),
    "llama linear": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0}}),
    "llama yarn": ("llama", {"rope_parameters": {"rope_type": "yarn", **_FAR}}),
    "llama llama3": (
        "llama",
        {"rope_parameters": {"rope_type": "llama3", **_FAR, "low_freq_factor": 1.0, "high_freq_factor": 4.0}},
    ),
    "gemma4 proportional": ("gemma4_text", {"vocab_size_per_layer_input": tiny_models.VOCABULARY}),
    "hunyuan dynamic by alpha": (
        "hunyuan_v1_dense",
        {"rope_parameters": {"rope_type": "dynamic", "factor": 1.0, "alpha": 100.0}, "window": WINDOW},
    ),
}
ALL = {**BY_LENGTH, **FIXED}


def build(name: str, attention: str = "sdpa"):
    """A model of `ALL` that nothing has touched."""
    family, changes = ALL[name]
    changes = copy.deepcopy(changes)
    if "window" in changes:
        changes["max_position_embeddings"] = changes.pop("window")
    if changes.get("rope_parameters", {}).get("rope_type") == "longrope" and family == "phi3":
        changes["original_max_position_embeddings"] = WINDOW
    return tiny_models.build(family, attention=attention, **changes)


@cache
def loaded(name: str) -> models.Loaded:
    """The same behind the engine; its window is not the original one."""
    model = build(name)
    model.config.longest_input = 512
    return models.wrap(model, tiny_models.tokenizer())


@cache
def _untouched(name: str):
    return build(name, "eager")


@torch.inference_mode()
def whole_pass(name: str, ids: Sequence[int], heads: Sequence[tuple[int, int]] = (), masked_from: int = 0):
    """Logits [tokens, vocabulary] and attention [layer][heads, tokens, tokens] of one pass, by a model used just once.

    heads: switched off from token `masked_from` on.
    """
    model = copy.deepcopy(_untouched(name))
    for layer, head in heads:
        attention = model.model.layers[layer].self_attn
        width = attention.o_proj.in_features // model.config.num_attention_heads

        def hook(module, args, columns=slice(head * width, (head + 1) * width)):
            joined = args[0].clone()
            joined[:, masked_from:, columns] = 0
            return (joined, *args[1:])

        attention.o_proj.register_forward_pre_hook(hook)
    found = model(torch.tensor([list(ids)]), use_cache=False, output_attentions=True)
    return found.logits[0], [rows[0] for rows in found.attentions]


def answer(name: str, ids: Sequence[int], new: int, heads=(), scope: str = "decode") -> tuple[list[int], list]:
    """Greedy ids by a whole pass for every token, and the attention of each step: [step][layer][heads, tokens]."""
    emitted, steps = [], []
    while len(emitted) < new and not {END, NEWLINE} & set(emitted):
        logits, rows = whole_pass(name, [*ids, *emitted], heads, 0 if scope == "all" else len(ids) - 1)
        emitted.append(int(logits[-1].argmax()))
        steps.append([layer[:, -1] for layer in rows])
    return emitted, steps
