"""Which head sets of a model are put to the downstream tasks, and the masks that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from retrieval_heads.masking.head_sets import resolve_size
from retrieval_heads.masking.masks import HeadMask

UNMASKED = {"name": "unmasked", "kind": "none", "k": 0, "seed": None, "heads": []}


class SizeError(ValueError):
    """A size that no head set has; the message names the config key and the remedy."""


def chosen_sets(head_sets: Sequence[dict], sizes: Sequence[int | str], info: Mapping) -> list[dict]:
    """The unmasked run and the head sets of these sizes (counts or shares of all heads).

    info: of the model, with `heads_by_layer`. Raises `SizeError` for a size that no head set has.
    """
    heads = sum(own for own, _ in info["heads_by_layer"].values())
    wanted = {size: resolve_size(size, heads) for size in sizes}
    there = {head_set["k"] for head_set in head_sets}
    for size, k in wanted.items():
        if k not in there:
            raise SizeError(f"downstream.sizes: there is no head set of {size}; add it to head_sets.sizes as well")
    return [UNMASKED, *(head_set for head_set in head_sets if head_set["k"] in wanted.values())]


def as_masks(head_sets: Sequence[dict], masking: Mapping[str, str]) -> dict[str, HeadMask]:
    """Name -> mask. masking: mode, scope and unit of `HeadMask`."""
    return {
        head_set["name"]: HeadMask(tuple(tuple(head) for head in head_set["heads"]), **masking)
        for head_set in head_sets
    }
