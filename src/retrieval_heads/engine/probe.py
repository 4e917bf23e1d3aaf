"""The probe: what every head attends to at every token that passes, reduced as soon as a layer has run."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from retrieval_heads.models.architecture import ModelInfo


@dataclass(frozen=True)
class Reading:
    """What the probed tokens gave, in the order in which they passed.

    argmax: position attended to most, int64 [queries, layers, heads], -1 where there is no such head.
    span_mass: attention on the span, float32 [queries, layers, heads], NaN where there is no such head.
    """

    argmax: torch.Tensor
    span_mass: torch.Tensor


class Probe:
    """Listener of `shared_prefix.branched` for one row. `span`: token positions [start, end) whose mass is summed.

    Positions count from the start of the sequence, also in layers that keep a sliding window only. Nothing of
    the length of the context outlives the layer it came from.
    """

    def __init__(self, info: ModelInfo, span: tuple[int, int]):
        self.info, self.span = info, span
        self._layers: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}

    def __call__(self, layer: int, rows: torch.Tensor, first: int, values: tuple[torch.Tensor, ...]) -> None:
        """Take one layer's rows [1, heads, queries, keys]; the first key stands at position `first`."""
        start, end = (max(0, position - first) for position in self.span)
        found = (rows[0].argmax(-1).T + first, rows[0, :, :, start:end].sum(-1).T)
        self._layers.setdefault(layer, []).append(found)

    def take_back(self, queries: int) -> None:
        """Forget the last queries: their tokens turned out not to belong to the answer."""
        for found in self._layers.values():
            argmax, mass = found[-1]
            found[-1] = (argmax[:-queries], mass[:-queries])

    def reading(self) -> Reading:
        """Everything probed so far, on the CPU."""
        some = next(iter(self._layers.values()))
        shape = (sum(len(argmax) for argmax, _ in some), self.info.layers, self.info.max_heads)
        argmax, mass = torch.full(shape, -1), torch.full(shape, torch.nan)
        for layer, found in self._layers.items():
            heads = self.info.heads[layer]
            argmax[:, layer, :heads] = torch.cat([a for a, _ in found]).cpu()
            mass[:, layer, :heads] = torch.cat([m for _, m in found]).cpu()
        return Reading(argmax, mass)
