"""Put what heads gave in one run into another: one class records it, one context manager patches it.

`outputs` patches a head's slice of the input of its layer's output projection: what the head adds. `weights` patches
its attention weights alone, over the values of the run that is patched: where the head looks, not what it finds there.
Activation patching as in Wang et al. 2023 (https://arxiv.org/abs/2211.00593, section 3); what its two directions show:
Heimersheim and Nanda 2024 (https://arxiv.org/abs/2404.15255, section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from transformers.cache_utils import Cache

from retrieval_heads.engine.attention.weights import attended
from retrieval_heads.engine.shared_prefix import ContinuationLayer
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models.architecture import ModelInfo
from retrieval_heads.models.attention_interface import intercepted
from retrieval_heads.models.loading import Loaded

KINDS = ("outputs", "weights")
# layer -> what its heads gave, one tensor for each forward call, each of one row
Recorded = Mapping[int, Sequence[torch.Tensor]]


class PatchError(ValueError):
    """A patch that cannot be made; the message names the value and the remedy."""


@contextmanager
def recorded(loaded: Loaded, what: str) -> Iterator[tuple[dict[int, list[torch.Tensor]], list[Callable]]]:
    """Record the heads of one row inside the block: (what they gave, listeners for `shared_prefix.branched`).

    outputs: [1, tokens, heads x value_dim] of each call. weights: float32 [1, heads, tokens, keys] of each call.
    """
    if what not in KINDS:
        raise PatchError(f"patched.what: '{what}' is unknown; use one of {', '.join(KINDS)}")
    found: dict[int, list[torch.Tensor]] = {layer: [] for layer in loaded.info.attention_layers}

    def hear(layer: int, weights: torch.Tensor, first: int, values: tuple[torch.Tensor, ...]) -> None:
        found[layer].append(weights)

    def watch(layer: int) -> Callable:
        return lambda module, args: found[layer].append(args[0])

    with ExitStack() as stack:
        if what == "outputs":
            for layer, projection in loaded.info.projections.items():
                stack.callback(projection.register_forward_pre_hook(watch(layer)).remove)
        yield found, [hear] if what == "weights" else []


@contextmanager
def patched(
    loaded: Loaded, cache: Cache, head_sets: Sequence[HeadMask], source: Recorded, what: str = "outputs"
) -> Iterator[None]:
    """Give the heads of each row what they gave in the run of `source`; a row without heads is left alone.

    cache: of the rows, from `shared_prefix.branched`, inside whose block this stands. head_sets: heads and unit of each
    row; mode and scope are not looked at. The rows are fed in the same calls as the recorded one. Hooks are removed
    when the block ends, however it ends.
    """
    hit = _hit_heads(loaded.info, head_sets)
    with ExitStack() as stack:
        if what == "outputs":
            for layer, table in hit.items():
                where = table.repeat_interleave(loaded.info.value_dim[layer], dim=1)[:, None]
                hook = _output_patcher(where, iter(source[layer]))
                stack.callback(loaded.info.projections[layer].register_forward_pre_hook(hook).remove)
        elif hit:
            patcher = _weight_patcher(cache, hit, {layer: iter(source[layer]) for layer in hit})
            stack.enter_context(intercepted(loaded.model, patcher, loaded.info.row_kernel))
        yield


def _hit_heads(info: ModelInfo, head_sets: Sequence[HeadMask]) -> dict[int, torch.Tensor]:
    """layer -> boolean [rows, heads], True where patched; only layers with any."""
    hit: dict[int, torch.Tensor] = {}
    for row, head_set in enumerate(head_sets):
        for layer, heads in head_set.expanded(info).items():
            table = hit.setdefault(layer, torch.zeros(len(head_sets), info.heads[layer], dtype=torch.bool))
            table[row, sorted(heads)] = True
    return hit


def _output_patcher(where: torch.Tensor, source: Iterator[torch.Tensor]) -> Callable:
    """Pre-hook of an output projection: the source's input where `where` [rows, 1, heads x value_dim] says so."""

    def hook(module, args):
        joined = args[0]
        return (torch.where(where.to(joined.device), next(source).to(joined), joined), *args[1:])

    return hook


def _weight_patcher(cache: Cache, hit: Mapping[int, torch.Tensor], source: Mapping[int, Iterator[torch.Tensor]]):
    """An interceptor: the source's weights over the row's own values where a head is hit, else the row's output."""

    def attend(module, query, key, value, mask, call, options):
        output, weights = call(module, query, key, value, mask, **options)
        index = module.layer_idx
        if index not in hit:
            return output, weights
        layer = cache.layers[index]
        values = (layer.prompt_values, value) if isinstance(layer, ContinuationLayer) else (value,)
        given = next(source[index]).to(value.device).expand(len(query), -1, -1, -1)
        own = attended(given, values).transpose(1, 2).to(output.dtype)
        where = hit[index].to(output.device)[:, None, :, None]
        return torch.where(where, own, output), weights

    return attend
