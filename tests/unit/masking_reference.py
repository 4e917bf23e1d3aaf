"""Masked logits in float64 without the engine: edited weights, or an edited eager attention."""

from __future__ import annotations

import sys
from functools import cache

import tiny_models
import torch


@cache
def reference_model(family: str):
    model = tiny_models.build(family).double()
    model.set_experts_implementation("eager")  # the fused mixture of experts has no float64
    return model


def reference_logits(family, loaded, ids, mask, means, monkeypatch) -> torch.Tensor:
    """Eager float64, without the interface: the whole prompt at once under `all`, the last token alone otherwise."""
    model = reference_model(family)
    first = 0 if mask.scope == "all" else len(ids) - 1
    with torch.no_grad():
        before = model(torch.tensor([ids[:first]]), use_cache=True).past_key_values if first else None
        if mask.mode == "zero_query":
            edit_eager_attention(model, loaded, mask, monkeypatch)
            return model(torch.tensor([ids[first:]]), past_key_values=before, use_cache=True).logits[0, -1]
        handles = [replace_slice(model, loaded, layer, mask, means) for layer in {n for n, _ in mask.heads}]
        try:
            return model(torch.tensor([ids[first:]]), past_key_values=before, use_cache=True).logits[0, -1]
        finally:
            for undo in handles:
                undo()


def replace_slice(model, loaded, layer, mask, means):
    """Take the heads' columns out of W_O; for `mean_output` add W_O · mean to what the projection gives."""
    name = next(n for n, m in loaded.model.named_modules() if m is loaded.info.projections[layer])
    projection = model.get_submodule(name)
    original = projection.weight.data
    width = loaded.info.value_dim[layer]
    columns = [head * width + i for at, head in mask.heads if at == layer for i in range(width)]
    is_conv1d = type(projection).__name__ == "Conv1D"  # GPT-2 keeps its matrices the other way round
    matrix = original.T if is_conv1d else original
    added = torch.zeros(len(matrix), dtype=torch.float64)
    if mask.mode == "mean_output":
        added = matrix[:, columns] @ means[layer].flatten()[columns].double()
    edited = matrix.clone()
    edited[:, columns] = 0
    projection.weight.data = edited.T if is_conv1d else edited
    handle = projection.register_forward_hook(lambda module, args, output: output + added)

    def undo():
        projection.weight.data = original
        handle.remove()

    return undo


def edit_eager_attention(model, loaded, mask, monkeypatch):
    """Zero the queries in front of the eager attention of the family's own file."""
    layer_type = next(
        type(m)
        for m in model.modules()
        if getattr(m, "layer_idx", None) is not None
        and hasattr(sys.modules[type(m).__module__], "eager_attention_forward")
    )
    file = sys.modules[layer_type.__module__]
    plain = file.eager_attention_forward

    def edited(module, query, *args, **options):
        query = query.clone()
        for layer, head in mask.heads:
            if layer == module.layer_idx:
                query[:, head] = 0
        return plain(module, query, *args, **options)

    monkeypatch.setattr(file, "eager_attention_forward", edited)
