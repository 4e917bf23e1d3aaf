"""What a model is made of, found out by running it on two tokens.

Nothing is read off configuration keys that differ between families: what reaches the attention interface
tells layers, heads, groups and, followed further, the output projections.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

from retrieval_heads.models.attention_interface import intercepted
from retrieval_heads.models.rotary import ALWAYS_THE_SAME, Rotary, rotary, window
from retrieval_heads.models.unsupported import NO_INTERFACE, ONE_BLOCK_ONLY, refusal, text_config


@dataclass(frozen=True)
class ModelInfo:
    """What the trial run found.

    heads, kv_heads, value_dim, projections: by layer, for layers with softmax attention only.
    value_dim: width of one head's output. projections: the output projection.
    shareable: layers whose attention gets the very keys and values that the cache stores, all of them.
    window: longest input in tokens, None when the configuration names none.
    kernel: attention of the prefill. row_kernel: attention of the steps that are probed, sdpa or eager.
    rotary: the rotary embeddings whose frequencies depend on the length of a sequence.
    """

    model_type: str
    layers: int
    heads: dict[int, int]
    kv_heads: dict[int, int]
    value_dim: dict[int, int]
    projections: dict[int, torch.nn.Module]
    shareable: frozenset[int]
    window: int | None
    kernel: str
    row_kernel: str
    dtype: str
    parameters: int
    rotary: Rotary = ALWAYS_THE_SAME

    @property
    def takes_blocks(self) -> bool:
        """Whether several tokens at once may follow a filled cache; else prompts are prefilled whole."""
        return self.model_type not in ONE_BLOCK_ONLY

    @property
    def takes_back(self) -> bool:
        """Whether tokens can be taken back from a branched cache: no window, no recurrent state."""
        return len(self.shareable) == self.layers

    @property
    def attention_layers(self) -> tuple[int, ...]:
        """Layers with softmax attention; the others have no heads, hence no rows in any table."""
        return tuple(sorted(self.heads))

    @property
    def max_heads(self) -> int:
        """Heads of the widest layer."""
        return max(self.heads.values())

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: heads and kv_heads of the widest layer, and by layer under `heads_by_layer`."""
        widest = max(self.heads, key=self.heads.__getitem__)
        return {
            "model_type": self.model_type,
            "layers": self.layers,
            "heads": self.heads[widest],
            "kv_heads": self.kv_heads[widest],
            "attention_layers": list(self.attention_layers),
            "heads_by_layer": {str(n): [self.heads[n], self.kv_heads[n]] for n in self.attention_layers},
            "window": self.window,
            "parameters": self.parameters,
        }


@dataclass(frozen=True)
class _Call:
    """What one attention layer was called with in the trial run."""

    module: torch.nn.Module
    heads: int
    kv_heads: int
    value_dim: int
    shareable: bool


def needs_eager(config: Any) -> bool:
    """SDPA knows neither soft caps nor sinks; families with them run on their own eager attention."""
    capped = getattr(text_config(config), "attn_logit_softcapping", None) is not None
    family = AutoModelForCausalLM._model_mapping.get(type(config), None)
    return capped or not getattr(family, "_supports_sdpa", True)


def first_device(model: PreTrainedModel) -> torch.device:
    """Where token ids must be: at the embedding (a model may lie over several cards)."""
    return model.get_input_embeddings().weight.device


def examine(model: PreTrainedModel) -> ModelInfo:
    """Run two tokens through the model. Raises `ModelError` when its heads cannot be reached."""
    text = text_config(model.config)
    kernel = model.config._attn_implementation
    row_kernel = "eager" if kernel == "eager" or needs_eager(model.config) else "sdpa"
    calls = _trial_calls(model, row_kernel)
    return ModelInfo(
        model_type=text.model_type,
        layers=text.num_hidden_layers,
        heads={layer: call.heads for layer, call in calls.items()},
        kv_heads={layer: call.kv_heads for layer, call in calls.items()},
        value_dim={layer: call.value_dim for layer, call in calls.items()},
        projections=_projections(model, calls, row_kernel),
        shareable=frozenset(layer for layer, call in calls.items() if call.shareable),
        window=window(model.config),
        kernel=kernel,
        row_kernel=row_kernel,
        dtype=str(model.dtype).removeprefix("torch."),
        parameters=model.num_parameters(),
        rotary=rotary(model),
    )


def _trial(model: PreTrainedModel, interceptor: Callable, kernel: str, cache: DynamicCache) -> None:
    ids = torch.ones((1, 2), dtype=torch.long, device=first_device(model))
    with torch.inference_mode(), intercepted(model, interceptor, kernel):
        model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)


def _trial_calls(model: PreTrainedModel, kernel: str) -> dict[int, _Call]:
    """layer -> its one call of the attention interface."""
    cache = DynamicCache(config=model.config)
    calls: list[tuple[int | None, _Call]] = []

    def note(module, query, key, value, mask, call, options):
        layer = getattr(module, "layer_idx", None)
        stored = cache.layers[layer or 0]
        shareable = type(stored) is DynamicLayer and stored.keys is key and stored.values is value
        calls.append((layer, _Call(module, query.shape[1], key.shape[1], value.shape[-1], shareable)))
        return call(module, query, key, value, mask, **options)

    _trial(model, note, kernel, cache)
    by_layer = dict(calls)
    family = text_config(model.config).model_type
    if not calls or None in by_layer:
        raise refusal(family, NO_INTERFACE)
    if len(by_layer) < len(calls):
        raise refusal(family, "it attends twice in a layer")
    return by_layer


def _projections(model: PreTrainedModel, calls: dict[int, _Call], kernel: str) -> dict[int, torch.nn.Module]:
    """The output projection of each layer: the last matrix that ran on the joined heads, after attention."""
    found: dict[int, torch.nn.Module] = {}
    attended: set[int] = set()

    def mark(module, query, key, value, mask, call, options):
        attended.add(module.layer_idx)
        return call(module, query, key, value, mask, **options)

    def watch(layer: int) -> Callable:
        def hook(leaf, args):
            if layer in attended and args and args[0].shape[-1] == calls[layer].heads * calls[layer].value_dim:
                found[layer] = leaf

        return hook

    handles = [
        leaf.register_forward_pre_hook(watch(layer))
        for layer, call in calls.items()
        for leaf in call.module.modules()
        if getattr(getattr(leaf, "weight", None), "ndim", 0) == 2
    ]
    try:
        _trial(model, mark, kernel, DynamicCache(config=model.config))
    finally:
        for handle in handles:
            handle.remove()
    missing = sorted(set(calls) - set(found))
    if missing:
        family = text_config(model.config).model_type
        raise refusal(family, f"layers {missing} have no output projection of their own")
    return found
