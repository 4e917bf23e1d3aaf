"""Patched logits in float64 without the engine: slices or attention weights of one run put into another by hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from masking_reference import reference_model


def reference_logits(family, loaded, source, base, answer, heads, what, monkeypatch) -> torch.Tensor:
    """Eager float64, token by token: [tokens, vocabulary] of the base run with the heads of the source run."""
    model = reference_model(family)
    given: list[dict] = []
    run = {"outputs": _with_slices, "weights": _with_weights}[what]
    run(model, loaded, source, answer, (), given, None, monkeypatch)
    return run(model, loaded, base, answer, heads, None, given, monkeypatch)


def _steps(model, prompt: Sequence[int], answer: Sequence[int], before_step) -> torch.Tensor:
    """Logits behind the last prompt token and each answer token but the last."""
    logits = []
    with torch.no_grad():
        cache = model(torch.tensor([prompt[:-1]]), use_cache=True).past_key_values
        for step, token in enumerate([prompt[-1], *answer[:-1]]):
            before_step(step)
            logits.append(model(torch.tensor([[token]]), past_key_values=cache, use_cache=True).logits[0, -1])
    return torch.stack(logits)


def _with_slices(model, loaded, prompt, answer, heads, record, given, monkeypatch) -> torch.Tensor:
    """Outputs: the input of every output projection is kept, or the slices of `heads` are written over."""
    at = {"step": None}
    names = {module: name for name, module in loaded.model.named_modules()}
    handles = []

    def hook_of(layer):
        width = loaded.info.value_dim[layer]

        def hook(module, args):
            if at["step"] is None:
                return None
            if record is not None:
                record[at["step"]][layer] = args[0].clone()
                return None
            joined = args[0].clone()
            for head in (head for where, head in heads if where == layer):
                part = slice(head * width, (head + 1) * width)
                joined[..., part] = given[at["step"]][layer][..., part]
            return (joined,)

        return hook

    for layer, projection in loaded.info.projections.items():
        handles.append(model.get_submodule(names[projection]).register_forward_pre_hook(hook_of(layer)))
    try:
        return _steps(model, prompt, answer, _stepper(at, record))
    finally:
        for handle in handles:
            handle.remove()


def _with_weights(model, loaded, prompt, answer, heads, record, given, monkeypatch) -> torch.Tensor:
    """Weights: those of the family's own eager attention are kept, or put over the values of this run."""
    at = {"step": None}
    layer_type = next(
        type(module)
        for module in model.modules()
        if getattr(module, "layer_idx", None) is not None
        and hasattr(sys.modules[type(module).__module__], "eager_attention_forward")
    )
    file = sys.modules[layer_type.__module__]
    plain = file.eager_attention_forward

    def edited(module, query, key, value, *args, **options):
        output, weights = plain(module, query, key, value, *args, **options)
        if at["step"] is None:
            return output, weights
        if record is not None:
            record[at["step"]][module.layer_idx] = weights.clone()
            return output, weights
        output = output.clone()
        group = query.shape[1] // value.shape[1]
        for head in (head for where, head in heads if where == module.layer_idx):
            output[:, :, head] = given[at["step"]][module.layer_idx][:, head] @ value[:, head // group]
        return output, weights

    with monkeypatch.context() as patch:
        patch.setattr(file, "eager_attention_forward", edited)
        return _steps(model, prompt, answer, _stepper(at, record))


def _stepper(at: dict, record):
    def before_step(step: int) -> None:
        at["step"] = step
        if record is not None:
            record.append({})

    return before_step
