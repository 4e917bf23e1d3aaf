"""Switch attention heads off: one dataclass says which and how, one context manager does it.

zero_output and mean_output replace a head's slice of the input of its layer's output projection, so that the
head adds nothing, or its calibrated mean. zero_query sets the query after rotation to zero: the head then
attends uniformly over what it may see, as the released code of Wu et al. 2024 does. In families that
normalise the joined heads before the projection (BitNet), the slice is that of the normalised input: the head
adds nothing, yet it still takes part in the norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch

from retrieval_heads.models.architecture import ModelInfo
from retrieval_heads.models.attention_interface import intercepted
from retrieval_heads.models.loading import Loaded

MODES = ("zero_output", "zero_query", "mean_output")
SCOPES = ("decode", "all")
UNITS = ("head", "kv_group")


class MaskError(ValueError):
    """A mask that does not fit the model; the message names the value and the remedy."""


@dataclass(frozen=True)
class HeadMask:
    """Which heads to mask and how. An empty `heads` changes nothing.

    heads: (layer, head) pairs. mode: zero_output | zero_query | mean_output. scope: `decode` masks from the
    last prompt token on (in a block of tokens, its last one), `all` every token. unit: `kv_group` masks all
    query heads that share a KV head with a named one.
    """

    heads: tuple[tuple[int, int], ...]
    mode: str = "zero_output"
    scope: str = "decode"
    unit: str = "head"

    def __post_init__(self):
        for name, value, known in (
            ("mode", self.mode, MODES),
            ("scope", self.scope, SCOPES),
            ("unit", self.unit, UNITS),
        ):
            if value not in known:
                raise MaskError(f"mask {name} '{value}' is unknown; use one of {', '.join(known)}")
        object.__setattr__(self, "heads", tuple(sorted({(int(layer), int(head)) for layer, head in self.heads})))

    @property
    def shares_prefill(self) -> bool:
        """Whether what stands before the last prompt token is the same as in the unmasked run."""
        return self.scope == "decode" or not self.heads

    def expanded(self, info: ModelInfo) -> dict[int, set[int]]:
        """Heads to mask by layer, whole groups under `kv_group`. Raises `MaskError` for a head the model lacks."""
        by_layer: dict[int, set[int]] = {}
        for layer, head in self.heads:
            if head >= info.heads.get(layer, 0) or head < 0:
                raise MaskError(
                    f"head {layer}-{head} does not exist in this model; attention layers are "
                    f"{list(info.attention_layers)} with up to {info.max_heads} heads"
                )
            group = info.heads[layer] // info.kv_heads[layer] if self.unit == "kv_group" else 1
            by_layer.setdefault(layer, set()).update(range(head // group * group, (head // group + 1) * group))
        return by_layer


# Name of the head set -> mask; and layer -> mean outputs [heads, value_dim], for mean_output.
Masks = Mapping[str, HeadMask]
Means = Mapping[int, torch.Tensor] | None


@contextmanager
def masked(
    loaded: Loaded,
    masks: HeadMask | Sequence[HeadMask | None] | None,
    means: Means = None,
) -> Iterator[None]:
    """Mask heads inside the block: one mask for all rows of a batch, or one per row (None: row left alone).

    All masks of one batch have one mode and one scope. means: layer -> [heads, value_dim], for mean_output,
    from `head_means.calibrate_means`. Hooks are removed when the block ends, however it ends.
    """
    per_row = [masks] if masks is None or isinstance(masks, HeadMask) else list(masks)
    used = [mask for mask in per_row if mask is not None and mask.heads]
    if len({(mask.mode, mask.scope) for mask in used}) > 1:
        raise MaskError("masks of one batch must have one mode and one scope; run them one after another")
    with ExitStack() as stack:
        if used:
            hit = _hit_heads(loaded.info, per_row)
            _install(stack, loaded, used[0], hit, means)
        yield


def masked_throughout(loaded: Loaded, mask: HeadMask, means: Means = None) -> AbstractContextManager[None]:
    """`masked` for tokens that are all in scope, also where several pass at once."""
    return masked(loaded, replace(mask, scope="all"), means)


@contextmanager
def masked_tokens(
    loaded: Loaded, masks: Sequence[HeadMask | None], means: Means = None
) -> Iterator[Callable[[Sequence[int]], None]]:
    """Inside the block each token of a batch of one row has a mask of its own; modes may differ, scopes do not count.

    Yields what must be told, before tokens are fed, the number in `masks` of the mask of each of them.
    """
    kinds: dict[str, dict[int, torch.Tensor]] = {}
    with ExitStack() as stack:
        for mode in sorted({mask.mode for mask in masks if mask is not None and mask.heads}):
            own = [mask if mask is not None and mask.mode == mode else None for mask in masks]
            hit = kinds[mode] = _hit_heads(loaded.info, own)
            _install(stack, loaded, HeadMask((), mode, "all"), hit, means)
        tables = [(hit, dict(hit)) for hit in kinds.values()]
        devices = {table.device for hit in kinds.values() for table in hit.values()}

        def choose(numbers: Sequence[int]) -> None:
            index = {device: torch.tensor(numbers, device=device) for device in devices}
            for hit, all_masks in tables:
                for layer, table in all_masks.items():
                    hit[layer] = table[index[table.device]].transpose(0, 1)

        yield choose


def _hit_heads(info: ModelInfo, per_row: Sequence[HeadMask | None]) -> dict[int, torch.Tensor]:
    """layer -> boolean [rows, 1, heads] on the layer's device, True where masked; only layers with any."""
    hit: dict[int, torch.Tensor] = {}
    for row, mask in enumerate(per_row):
        for layer, heads in (mask.expanded(info) if mask else {}).items():
            table = hit.setdefault(layer, torch.zeros(len(per_row), 1, info.heads[layer], dtype=torch.bool))
            table[row, 0, sorted(heads)] = True
    # Once, before the first step, and not for every layer and step.
    return {layer: table.to(next(info.projections[layer].parameters()).device) for layer, table in hit.items()}


def _install(stack: ExitStack, loaded: Loaded, mask: HeadMask, hit: dict[int, torch.Tensor], means) -> None:
    if mask.mode == "zero_query":
        stack.enter_context(intercepted(loaded.model, _query_zeroer(hit, mask.scope), loaded.info.row_kernel))
        return
    if mask.mode == "mean_output" and means is None:
        raise MaskError("mask mode 'mean_output' needs calibrated means; make them with calibrate_means")
    for layer, table in hit.items():
        fill = means[layer] if mask.mode == "mean_output" else torch.zeros(())
        hook = _slice_filler(hit, layer, fill.to(table.device, loaded.model.dtype), mask.scope)
        stack.callback(loaded.info.projections[layer].register_forward_pre_hook(hook).remove)


def _slice_filler(hit: Mapping[int, torch.Tensor], layer: int, fill: torch.Tensor, scope: str):
    """Pre-hook of an output projection: where `hit`, `fill` [heads, value_dim] or []; the input elsewhere."""

    def hook(module, args):
        joined = args[0]
        where = _in_scope(hit[layer].to(joined.device), joined.shape[1], scope)[..., None]
        slices = joined.unflatten(-1, (where.shape[2], -1))
        return (torch.where(where, fill.to(joined), slices).flatten(-2), *args[1:])

    return hook


def _query_zeroer(hit: Mapping[int, torch.Tensor], scope: str):
    def attend(module, query, key, value, mask, call, options):
        table = hit.get(module.layer_idx)
        if table is not None:
            where = _in_scope(table.to(query.device), query.shape[2], scope)
            query = query.masked_fill(where.transpose(1, 2)[..., None], 0.0)
        return call(module, query, key, value, mask, **options)

    return attend


def _in_scope(hit: torch.Tensor, tokens: int, scope: str) -> torch.Tensor:
    """Spread `hit` [rows, 1, heads] over the tokens of a block; under `decode` only the last token is masked."""
    if scope == "all" or tokens == 1:
        return hit.expand(-1, tokens, -1)
    last = torch.zeros((1, tokens, 1), dtype=torch.bool, device=hit.device)
    last[:, -1] = True
    return hit & last
