"""Random controls as the released code draws them (construct_random_head)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from retrieval_heads.masking.head_sets import Head, HeadSetError

# Layers and heads of Llama-2-7B and Mistral-7B, from which the released code draws for every model.
RANGE = 32


def released_controls(
    sets: Sequence[dict], ranking: pd.DataFrame, names: Sequence[str], *, threshold: float, seed: int
) -> list[dict]:
    """The head sets of `head_sets.choose_head_sets`, their random ones drawn with quirks.

    random_of_32: from 32 layers x 32 heads whatever the model; drawn heads that it lacks mask nothing, so that a set
    may hold fewer heads than its `k`. random_not_excluded: retrieval heads may be drawn (the released code compares
    lists with tuples, which are never equal). random_redrawn: the pool is kept as `pool`, for a new draw in every cell.
    """
    here = [(int(layer), int(head)) for layer, head in ranking[["layer", "head"]].to_numpy()]
    retrieval = set(here[: int((ranking["score"] > threshold).sum())])
    tops = {one["k"]: set(map(tuple, one["heads"])) for one in sets if one["kind"] == "top"}
    drawn = []
    for one in sets:
        if one["kind"] == "random":
            excluded = set() if "random_not_excluded" in names else retrieval | tops[one["k"]]
            pool = [head for head in _candidates(here, names) if head not in excluded]
            one = {**one, "heads": _draw(pool, here, one, seed)}
            one |= {"pool": [list(head) for head in pool]} if "random_redrawn" in names else {}
        drawn.append(one)
    return drawn


def _candidates(here: Sequence[Head], names: Sequence[str]) -> list[Head]:
    return list(product(range(RANGE), repeat=2)) if "random_of_32" in names else sorted(here)


def _draw(pool: Sequence[Head], here: Sequence[Head], one: dict, seed: int) -> list[list[int]]:
    if len(pool) < one["k"]:
        raise HeadSetError(f"head_sets.sizes: {one['k']} random heads out of {len(pool)}; choose smaller sizes")
    chosen = np.random.default_rng([seed, one["k"], one["seed"]]).choice(len(pool), size=one["k"], replace=False)
    return [list(pool[index]) for index in sorted(chosen) if pool[index] in set(here)]
