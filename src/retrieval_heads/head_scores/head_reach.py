"""How far a head reaches: its score by the distance between the needle's answer and where the model answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from retrieval_heads.head_scores.intervals import bootstrap_weights, interval, stream
from retrieval_heads.rounding import settled

CELL = ["needle", "length", "depth"]
COLUMNS = ["layer", "head", "rank", "score", "reach", "window", "distance_from", "distance_to", "distance"]
COLUMNS += ["score_here", "ci_low", "ci_high", "cells", "needles"]


def head_reach(
    cells: pd.DataFrame,
    scores: pd.DataFrame,
    ranking: pd.DataFrame,
    windows: Mapping[int, int],
    *,
    score: str,
    threshold: float,
    bins: int = 5,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """`COLUMNS`, one row for each retrieval head (score above `threshold`) and bin of distances, nearest bin first.

    cells: needle length depth answer_start prompt_tokens passed; those that passed count. scores: needle length depth
    layer head and the column `score`. windows: layer -> tokens that it sees, of layers with a window. Distances, in
    tokens, are from the answer's first token to the last token of the prompt. Bins hold equally many cells, as far as
    equal distances allow. Intervals: 95 %, bootstrap over needles, then cells, within the bin. reach: see
    `reach_of`.
    """
    cells = cells[cells["passed"].astype(bool)].reset_index(drop=True)
    heads = ranking[settled(ranking["score"]) > threshold]
    if cells.empty or heads.empty:
        return pd.DataFrame(columns=COLUMNS)
    distance = cells["prompt_tokens"] - 1 - cells["answer_start"]
    where = pd.qcut(distance, bins, labels=False, duplicates="drop")
    wide = scores.pivot(index=CELL, columns=["layer", "head"], values=score).loc[pd.MultiIndex.from_frame(cells[CELL])]
    wide = wide[[(row.layer, row.head) for row in heads.itertuples()]].to_numpy()
    bounds = (min(0.0, wide.min()), max(1.0, wide.max()))
    rows = []
    for place in sorted(where.unique()):
        held = np.flatnonzero(where == place)
        needles = cells.loc[held, "needle"]
        resampled = bootstrap_weights(needles, draws, stream(seed, "cells", int(place))) @ wide[held]
        low, high = interval(wide[held].mean(0), resampled, needles.nunique(), bounds)
        shared = {
            "distance_from": int(distance[held].min()),
            "distance_to": int(distance[held].max()),
            "distance": distance[held].mean(),
            "cells": len(held),
            "needles": needles.nunique(),
        }
        for at, head in enumerate(heads.itertuples()):
            own = {"score_here": wide[held, at].mean(), "ci_low": low[at], "ci_high": high[at]}
            named = {"layer": head.layer, "head": head.head, "rank": head.rank, "score": head.score}
            rows.append({**named, "window": windows.get(head.layer), **shared, **own})
    table = pd.DataFrame(rows).sort_values(["rank", "distance"], ignore_index=True)
    table["reach"] = table.groupby("rank")["score_here"].transform(lambda found: reach_of(found, threshold))
    return table.astype({"window": "Int64"})[COLUMNS]


def reach_of(scores: pd.Series, threshold: float) -> str:
    """Where a head retrieves, by its scores from the nearest bin to the farthest.

    everywhere: above `threshold` in every bin; near only, far only: in the nearest bin and not in the farthest, or the
    other way round; in part: in both ends or in neither, but not in every bin.
    """
    works = (settled(scores) > threshold).tolist()
    if all(works):
        return "everywhere"
    return {(True, False): "near only", (False, True): "far only"}.get((works[0], works[-1]), "in part")
