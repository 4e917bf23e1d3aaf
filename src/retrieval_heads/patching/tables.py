"""Tables of patched runs: a row for each run, and the share that is restored against the number of heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from retrieval_heads.head_scores.intervals import bootstrap_weights, interval, stream
from retrieval_heads.rounding import settled

CELL = ["needle", "length", "depth"]
MEASURES = ["log_probability", "other_log_probability", "greedy"]
# Kinds of rows that are no head set: the run that the heads come from; no head; all heads.
SOURCE, FLOOR, CEILING = "source", "none", "all"


def with_shares(runs: pd.DataFrame) -> pd.DataFrame:
    """`runs` with the column `share`, percent of its own cell's difference that each run restores.

    runs: direction what kind and the columns of a cell and of `MEASURES`.
    """
    keys = ["direction", "what", *CELL]
    ends = {kind: _difference(runs[runs["kind"] == kind].set_index(keys)).rename(kind) for kind in (SOURCE, FLOOR)}
    table = runs.join(pd.DataFrame(ends), on=keys)
    share = restored(_difference(table), table.pop(FLOOR), table.pop(SOURCE))
    return runs.assign(share=share)


def restored(patched, counterpart, original):
    """Share of the difference that a patch restores, percent: (patched - counterpart) / (original - counterpart).

    0: as if nothing was patched; 100: as in the run that the heads come from; beyond both it may go (Wang et al. 2023,
    section 4, normalise the same way). NaN where the run that the heads come from is no better than the other: nothing
    is there to restore. Numbers or arrays of one shape.
    """
    gap = np.asarray(original, float) - np.asarray(counterpart, float)
    there = settled(gap) > 0
    gain = np.asarray(patched, float) - np.asarray(counterpart, float)
    return 100 * np.where(there, gain, np.nan) / np.where(there, gap, 1.0)


def patched_curve(runs: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """One row for each direction, what is patched, kind and size of head set.

    direction what kind k share ci_low ci_high answer_share answer_low answer_high greedy greedy_low greedy_high draws
    cells needles. share: percent of the mean difference of log-probabilities that the patch restores, a ratio of means
    over all cells (as Wang et al. 2023, https://arxiv.org/abs/2211.00593, section 4, average before they divide), so
    that a cell in which the needle makes little difference counts little. answer_share: the same by the log-probability
    of the source's answer alone. greedy: percent of cells in which that answer became the greedy one. Intervals: 95 %,
    bootstrap over needles, then cells, and for random sets over the draws as well (`head_scores.intervals`).
    """
    rows = []
    for (direction, what), part in runs.groupby(["direction", "what"], sort=False):
        wide = {kind: _wide(one) for kind, one in _by_size(part)}
        cells = wide[FLOOR, 0]["difference"].index
        ends = [wide[kind, 0] for kind in (FLOOR, SOURCE)]
        for (kind, k), found in wide.items():
            rows.append({"direction": direction, "what": what, "kind": kind, "k": k})
            names = (direction, what, kind, k)
            rows[-1] |= _summary(
                found, *ends, cells, draws, [stream(seed, part, *names) for part in ("cells", "head sets")]
            )
    return pd.DataFrame(rows)


def beside_masking(curve: pd.DataFrame, masked: pd.DataFrame) -> pd.DataFrame:
    """The curve with masked_success, masked_low, masked_high: success with the same heads masked, percent.

    curve: of one model. masked: kind k success ci_low ci_high of the same model (`masking_analysis.success_curves`);
    the unmasked run stands beside the floor.
    """
    names = {"success": "masked_success", "ci_low": "masked_low", "ci_high": "masked_high"}
    return curve.merge(masked[["kind", "k", *names]].rename(columns=names), on=["kind", "k"], how="left")


def _by_size(runs: pd.DataFrame):
    """((kind, k), runs); source, floor and ceiling stand at 0, 0 and the number of all heads."""
    return runs.groupby(["kind", "k"], sort=False)


def _difference(runs: pd.DataFrame) -> pd.Series:
    """Log-probability of the source's answer less that of the other, nats."""
    return runs["log_probability"] - runs["other_log_probability"]


def _wide(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Cells x head sets, of each measure."""
    table = runs.assign(difference=_difference(runs)).astype({"greedy": float})
    measures = ("difference", "log_probability", "greedy")
    return {name: table.pivot(index=CELL, columns="head_set", values=name) for name in measures}


def _summary(
    found: Mapping,
    floor: Mapping,
    source: Mapping,
    cells: pd.Index,
    draws: int,
    streams: Sequence[np.random.SeedSequence],
) -> dict:
    """One row of the curve. streams: of random numbers, for cells and for head sets."""
    values = {
        name: [one[name].loc[cells].to_numpy() for one in (found, floor, source)]
        for name in ("difference", "log_probability", "greedy")
    }
    names, sets = cells.get_level_values("needle").to_series(), values["greedy"][0].shape[1]
    needles = names.nunique()
    weights = bootstrap_weights(names, draws, streams[0])
    drawn = np.random.default_rng(streams[1]).multinomial(sets, [1 / sets] * sets, size=draws) / sets
    shares = {}
    for name in ("difference", "log_probability"):
        patched, *ends = values[name]
        means = [np.einsum("dc,cs,ds->d", weights, patched, drawn), *((weights @ end)[:, 0] for end in ends)]
        share = float(restored(*(table.mean() for table in values[name])))
        shares[name] = share, *_ends(share, restored(*means), needles, (-np.inf, np.inf))
    greedy = 100 * values["greedy"][0].mean()
    flips = 100 * np.einsum("dc,cs,ds->d", weights, values["greedy"][0], drawn)
    return {
        **dict(zip(("share", "ci_low", "ci_high"), shares["difference"], strict=True)),
        **dict(zip(("answer_share", "answer_low", "answer_high"), shares["log_probability"], strict=True)),
        **dict(
            zip(
                ("greedy", "greedy_low", "greedy_high"), (greedy, *_ends(greedy, flips, needles, (0, 100))), strict=True
            )
        ),
        "draws": sets,
        "cells": len(cells),
        "needles": needles,
    }


def _ends(estimate: float, resampled: np.ndarray, needles: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """The interval over the resamples in which the value exists; missing where it exists in none."""
    known = resampled[~np.isnan(resampled)]
    if not len(known) or np.isnan(estimate):
        return np.nan, np.nan
    low, high = interval(estimate, known, needles, bounds)
    return float(low), float(high)
