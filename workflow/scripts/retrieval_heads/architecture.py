"""What a model is made of, found out by running it on two tokens.

Nothing is read off configuration keys that differ between families: what reaches the attention interface tells
layers, heads, groups and, followed further, the output projections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

from retrieval_heads.attention import intercepted

_REMEDY = (
    "choose a model whose attention goes through the transformers attention interface (docs/architectures.md)"
)
_NO_INTERFACE = "its attention does not go through the transformers attention interface"
_SPARSE = "it attends to a selected or compressed set of keys, so softmax(q·K) is not its attention row"
_WINDOW = "its fused and its eager attention treat the sliding window differently"
_NO_SOFTMAX = "it has no softmax attention, so it has no attention heads"
# ASSUME: transformers 5.23. The trial run would catch the first group too; here it is caught before the download.
UNSUPPORTED = {
    **dict.fromkeys(
        ("bloom", "codegen", "falcon", "gpt_neo", "gpt_neox_japanese", "gptj", "mpt", "xglm"), _NO_INTERFACE
    ),
    **dict.fromkeys(("deepseek_v32", "glm_moe_dsa", "axk2", "deepseek_v4", "inkling2_text"), _SPARSE),
    **dict.fromkeys(("granite_swa", "granitemoe_swa"), _WINDOW),
    "diffllama": "a head's output is the difference of two attentions",
    "minimax": "it keeps a cache of its own, in some layers only",
    **dict.fromkeys(("zamba", "zamba2"), "one attention block is shared by many layers"),
    "recurrent_gemma": "it keeps its recurrent state outside the cache",
    "doge": "its own mask does not fit a block of tokens onto a filled cache",
    "jetmoe": "each head's output goes through experts, not through one output projection",
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"), _NO_SOFTMAX),
}


# Families whose recurrent layers start anew when a block of tokens follows a filled cache.
ONE_BLOCK_ONLY = frozenset({"jamba"})


class ModelError(ValueError):
    """A model that cannot be served; the message names it, the reason and the remedy."""


@dataclass(frozen=True)
class Facts:
    """What the trial run found.

    heads, kv_heads, value_dim, projections: by layer, for layers with softmax attention only. value_dim: width of one
    head's output. window: longest input in tokens, None when the configuration names none.
    shareable: layers whose attention gets the very keys and values that the cache stores, all of them.
    kernel: attention of the prefill. row_kernel: attention of the steps that are probed, sdpa or eager.
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

    @property
    def takes_blocks(self) -> bool:
        """Whether several tokens at once may follow a filled cache; if not, every prompt is prefilled whole."""
        return self.model_type not in ONE_BLOCK_ONLY

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


def text_config(config: Any) -> Any:
    """The language model's part of a configuration."""
    return config.get_text_config(decoder=True)


def refuse_unsupported(config: Any) -> None:
    """Raise `ModelError` when a model type is known not to be servable."""
    family = text_config(config).model_type
    if family in UNSUPPORTED:
        raise ModelError(f"model type '{family}' cannot be probed: {UNSUPPORTED[family]}; {_REMEDY}")


def needs_eager(config: Any) -> bool:
    """SDPA knows neither soft caps nor sinks; families that have them run on their own eager attention."""
    text = text_config(config)
    family = AutoModelForCausalLM._model_mapping.get(type(config), None)
    return getattr(text, "attn_logit_softcapping", None) is not None or not getattr(
        family, "_supports_sdpa", True
    )


def first_device(model: PreTrainedModel) -> torch.device:
    """Where token ids must be: at the embedding (a model may lie over several cards)."""
    return model.get_input_embeddings().weight.device


def _trial(model: PreTrainedModel, interceptor: Callable, kernel: str, cache: DynamicCache) -> None:
    ids = torch.ones((1, 2), dtype=torch.long, device=first_device(model))
    with torch.inference_mode(), intercepted(model, interceptor, kernel):
        model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)


def examine(model: PreTrainedModel) -> Facts:
    """Run two tokens and note every call of the attention interface. Raises `ModelError` when it is not used."""
    text = text_config(model.config)
    kernel = model.config._attn_implementation
    row_kernel = "eager" if kernel == "eager" or needs_eager(model.config) else "sdpa"
    calls: dict[int | None, tuple[torch.nn.Module, int, int, int]] = {}
    times: Counter[int | None] = Counter()

    cache = DynamicCache(config=model.config)
    shareable: set[int] = set()

    def note(module, query, key, value, mask, call, options):
        layer = getattr(module, "layer_idx", None)
        times[layer] += 1
        stored = cache.layers[layer or 0]
        if type(stored) is DynamicLayer and stored.keys is key and stored.values is value:
            shareable.add(layer)
        calls[layer] = (module, query.shape[1], key.shape[1], value.shape[-1])
        return call(module, query, key, value, mask, **options)

    _trial(model, note, row_kernel, cache)
    if not calls or None in calls:
        raise ModelError(f"model type '{text.model_type}' cannot be probed: {_NO_INTERFACE}; {_REMEDY}")
    if max(times.values()) > 1:
        raise ModelError(
            f"model type '{text.model_type}' cannot be probed: it attends twice in a layer; {_REMEDY}"
        )
    widths = {layer: (module, heads * dim) for layer, (module, heads, _, dim) in calls.items()}
    return Facts(
        model_type=text.model_type,
        layers=text.num_hidden_layers,
        heads={layer: call[1] for layer, call in calls.items()},
        kv_heads={layer: call[2] for layer, call in calls.items()},
        value_dim={layer: call[3] for layer, call in calls.items()},
        projections=_projections(model, widths, row_kernel),
        shareable=frozenset(shareable),
        window=getattr(text, "max_position_embeddings", None),
        kernel=kernel,
        row_kernel=row_kernel,
        dtype=str(model.dtype).removeprefix("torch."),
        parameters=model.num_parameters(),
    )


def _projections(model: PreTrainedModel, widths: dict[int, tuple[torch.nn.Module, int]], kernel: str) -> dict:
    """The output projection of each layer: the last matrix that ran on the joined heads, after the attention.

    widths: layer -> (attention module, heads x value_dim).
    """
    found: dict[int, torch.nn.Module] = {}
    attended: set[int] = set()

    def mark(module, query, key, value, mask, call, options):
        attended.add(module.layer_idx)
        return call(module, query, key, value, mask, **options)

    def watch(layer: int, width: int) -> Callable:
        def hook(leaf, args):
            if layer in attended and args and args[0].shape[-1] == width:
                found[layer] = leaf

        return hook

    handles = [
        leaf.register_forward_pre_hook(watch(layer, width))
        for layer, (module, width) in widths.items()
        for leaf in module.modules()
        if getattr(getattr(leaf, "weight", None), "ndim", 0) == 2
    ]
    try:
        _trial(model, mark, kernel, DynamicCache(config=model.config))
    finally:
        for handle in handles:
            handle.remove()
    missing = sorted(set(widths) - set(found))
    if missing:
        raise ModelError(
            f"model type '{model.config.model_type}' cannot be masked: layers {missing} have no output projection "
            f"of their own; {_REMEDY}"
        )
    return found
