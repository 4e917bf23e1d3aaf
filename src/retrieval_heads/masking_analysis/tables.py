"""Long tables over the masked runs of all models, one for each figure; figures only draw what stands in them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from retrieval_heads.masking_analysis.error_kinds import ERRORS
from retrieval_heads.masking_analysis.random_contrasts import masked_contrast
from retrieval_heads.masking_analysis.success_curves import masked_curve
from retrieval_heads.text_tables import over_models


def masked_curves(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The masked curve of every model (columns of `success_curves.masked_curve`)."""
    return over_models({model: masked_curve(table) for model, table in runs.items()})


def masked_contrasts(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Top heads against random ones, of every model (columns of `random_contrasts.masked_contrast`)."""
    return over_models({model: masked_contrast(table) for model, table in runs.items()})


def error_kinds(labelled: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """model kind k error share ci_low ci_high draws cells needles: percent of the responses that are of each kind.

    labelled: the tables of `error_kinds.label_runs`. Intervals as for the masked curve.
    """
    parts = {}
    for model, runs in labelled.items():
        curves = [masked_curve(runs.assign(passed=runs["error"] == error)).assign(error=error) for error in ERRORS]
        columns = ["kind", "k", "error", "share", "ci_low", "ci_high", "draws", "cells", "needles"]
        parts[model] = pd.concat(curves).rename(columns={"success": "share"})[columns]
    return over_models(parts)


def needle_grid(runs: Mapping[str, pd.DataFrame], shown: int) -> pd.DataFrame:
    """model kind k length depth recall runs: mean ROUGE-1 recall (percent) over needles and draws, unmasked and with
    the head sets whose size comes nearest to `shown`.

    Of a model without sets of top heads (given ones have kinds of their own): unmasked alone.
    """
    parts = {}
    for model, table in runs.items():
        sizes = table.loc[table["kind"] == "top", "k"].unique()
        k = min(sizes, key=lambda size: abs(size - shown), default=None)
        chosen = table[(table["kind"] == "none") | ((table["k"] == k) & table["kind"].isin(["top", "random"]))]
        grid = chosen.groupby(["kind", "k", "length", "depth"], sort=False)["rouge1_recall"]
        parts[model] = grid.agg(recall="mean", runs="size").reset_index()
    return over_models(parts)
