"""Long tables over all models, one for each figure; figures only draw what stands in them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from retrieval_heads.masked_curves import masked_curve

# The bins of Figure 3 of Wu et al. 2024 (https://arxiv.org/abs/2404.15574).
BINS = {"0": (-np.inf, 0), "0 to 0.1": (0, 0.1), "0.1 to 0.5": (0.1, 0.5), "above 0.5": (0.5, np.inf)}


def over_models(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table, the column `model` first."""
    return pd.concat([table.assign(model=model)[["model", *table.columns]] for model, table in tables.items()])


def score_bins(rankings: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """model bin heads share: how many heads of each model score in each bin, and percent of its heads."""
    rows = []
    for model, ranking in rankings.items():
        for name, (low, high) in BINS.items():
            heads = int(((ranking["score"] > low) & (ranking["score"] <= high)).sum())
            rows.append({"model": model, "bin": name, "heads": heads, "share": 100 * heads / len(ranking)})
    return pd.DataFrame(rows)


def masked_curves(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The masked curve of every model (columns of `masked_curves.masked_curve`)."""
    return over_models({model: masked_curve(table) for model, table in runs.items()})


def needle_grid(runs: Mapping[str, pd.DataFrame], shown: int) -> pd.DataFrame:
    """model kind k length depth recall runs: mean ROUGE-1 recall (percent) over needles and draws, unmasked and with
    the head sets whose size comes nearest to `shown`."""
    parts = {}
    for model, table in runs.items():
        sizes = table.loc[table["kind"] == "top", "k"].unique()
        k = min(sizes, key=lambda size: abs(size - shown))
        chosen = table[(table["kind"] == "none") | ((table["k"] == k) & table["kind"].isin(["top", "random"]))]
        grid = chosen.groupby(["kind", "k", "length", "depth"], sort=False)["rouge1_recall"]
        parts[model] = grid.agg(recall="mean", runs="size").reset_index()
    return over_models(parts)
