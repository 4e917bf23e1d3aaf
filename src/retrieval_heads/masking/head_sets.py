"""Head sets: the top heads, and random ones as controls. Pure functions of a ranking and a seed.

A random control is drawn from heads that are neither retrieval heads (score above the threshold) nor in the top set
that it is the control of; with `layer_matched` it takes as many heads of each layer as the top set does.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd

Head = tuple[int, int]


class HeadSetError(ValueError):
    """Head sets that cannot be drawn; the message names the config key and the remedy."""


def resolve_size(size: int | str, heads: int) -> int:
    """A number of heads, from a count or a share such as "5%" (at least one head)."""
    # Exactly: in binary numbers 0.7% of 500 and 7% of 50 would be two sizes.
    wanted = Fraction(size) if isinstance(size, int) else Fraction(size.rstrip("%")) * heads / 100
    if wanted > heads:
        raise HeadSetError(f"head_sets.sizes: {size} is more than the {heads} heads of the model; remove it")
    return max(1, round(wanted))


def choose_head_sets(
    ranking: pd.DataFrame,
    sizes: Sequence[int | str],
    *,
    random_draws: int,
    seed: int,
    layer_matched: bool,
    bottom: bool,
    threshold: float,
) -> list[dict]:
    """All head sets of one model: {"name", "kind", "k", "seed", "heads"}, heads as [layer, head], sorted.

    ranking: rank, layer, head, score. Raises `HeadSetError` where too few heads are left for a control, and where no
    head scores above 0.
    """
    if not (ranking["score"] > 0).any():
        raise HeadSetError(
            f"head_sets: no retrieval head was found: the best score is {ranking['score'].max():.4g}, so there are no "
            "top heads to mask; remove the model, or give it head_sets of its own (models.*.head_sets)"
        )
    ranked = [(int(layer), int(head)) for layer, head in ranking[["layer", "head"]].to_numpy()]
    retrieval = {head for head, score in zip(ranked, ranking["score"], strict=True) if score > threshold}
    sets = []
    for k in dict.fromkeys(resolve_size(size, len(ranked)) for size in sizes):
        top = ranked[:k]
        sets.append(_entry(f"top-{k}", "top", k, None, top))
        pool = [head for head in ranked if head not in retrieval and head not in top]
        for draw in range(random_draws):
            heads = _draw(pool, top, layer_matched, np.random.default_rng([seed, k, draw]))
            sets.append(_entry(f"random-{k}-{draw}", "random", k, draw, heads))
        if bottom:
            sets.append(_entry(f"bottom-{k}", "bottom", k, None, ranked[-k:]))
    return sets


def _entry(name: str, kind: str, k: int, seed: int | None, heads: Sequence[Head]) -> dict:
    return {"name": name, "kind": kind, "k": k, "seed": seed, "heads": [list(head) for head in sorted(heads)]}


def _draw(pool: list[Head], top: list[Head], layer_matched: bool, generator: np.random.Generator) -> list[Head]:
    """As many heads of `pool` as `top` has, without replacement."""
    if not layer_matched:
        return _choose(pool, len(top), "the model", generator)
    drawn: list[Head] = []
    for layer in sorted({layer for layer, _ in top}):
        wanted = sum(head[0] == layer for head in top)
        drawn += _choose([head for head in pool if head[0] == layer], wanted, f"layer {layer}", generator)
    return drawn


def _choose(pool: list[Head], count: int, where: str, generator: np.random.Generator) -> list[Head]:
    if len(pool) < count:
        raise HeadSetError(
            f"head_sets.sizes: a random control of {count} heads needs more than the {len(pool)} heads of {where} "
            "that are not retrieval heads; choose smaller sizes"
        )
    return [pool[index] for index in generator.choice(len(pool), size=count, replace=False)]
