"""Where retrieval heads live: how deep in the model, and whether they share KV groups more than by chance."""

from __future__ import annotations

import numpy as np
import pandas as pd


def locations(ranking: pd.DataFrame, threshold: float, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """layer relative_depth heads retrieval_heads and, the same in all rows, groups groups_held groups_chance
    groups_low groups_high; one row a layer.

    ranking: layer, head, kv_group, score. relative_depth: 0 for the first layer, 1 for the last. groups: KV groups of
    the model. groups_held: those with a retrieval head. groups_chance, low, high: mean and 2.5 and 97.5 percentiles
    when each layer's retrieval heads are put on random heads of that layer: below the range, retrieval heads share
    groups. NaN where the groups are not known or every head has keys of its own.
    """
    retrieves = ranking["score"] > threshold
    layers = ranking.assign(retrieves=retrieves).groupby("layer")["retrieves"].agg(heads="size", retrieval_heads="sum")
    last = int(layers.index.max())
    table = layers.reset_index().assign(relative_depth=lambda rows: rows["layer"] / max(last, 1))
    shared = ranking["kv_group"].notna().all() and ranking.duplicated(["layer", "kv_group"]).any()
    groups = _groups(ranking, retrieves, draws, seed) if shared else dict.fromkeys(GROUP_COLUMNS, np.nan)
    return table[["layer", "relative_depth", "heads", "retrieval_heads"]].assign(**groups)


GROUP_COLUMNS = ("groups", "groups_held", "groups_chance", "groups_low", "groups_high")


def _groups(ranking: pd.DataFrame, retrieves: pd.Series, draws: int, seed: int) -> dict[str, float]:
    generator = np.random.default_rng(seed)
    held, by_chance, groups = 0, np.zeros(draws), 0
    for _, layer in ranking.assign(retrieves=retrieves).groupby("layer"):
        group, count = layer["kv_group"].to_numpy(), int(layer["retrieves"].sum())
        groups += len(np.unique(group))
        held += len(np.unique(group[layer["retrieves"].to_numpy()]))
        if count:
            by_chance += [len(np.unique(generator.permutation(group)[:count])) for _ in range(draws)]
    low, high = np.percentile(by_chance, (2.5, 97.5))
    return dict(zip(GROUP_COLUMNS, (groups, held, by_chance.mean(), low, high), strict=True))
