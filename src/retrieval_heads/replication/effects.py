"""What each quirk changes: every variant of a model beside the one without quirks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from retrieval_heads.analysis.agreement import agreement
from retrieval_heads.head_scores.scores import HeadScores
from retrieval_heads.masking_analysis.success_curves import masked_curve
from retrieval_heads.replication.quirks import NONE
from retrieval_heads.rounding import settled

SUCCESS = {"none": "unmasked", "top": "top", "random": "random"}


@dataclass(frozen=True)
class Measured:
    """One variant: its head scores, its table of detected cells and its table of masked runs."""

    head_scores: HeadScores
    cells: pd.DataFrame
    runs: pd.DataFrame


def effects(variants: Mapping[str, Measured], shown: int, threshold: float) -> pd.DataFrame:
    """One row a variant: quirk passed_cells cells not_found empty_cells retrieval_heads highest k overlap
    overlap_chance spearman masked_k needles and, for unmasked, top and random: success in percent with _low and _high.

    variants: the name of the quirk (`none`: of none of them) -> what was measured. passed_cells: of `cells`. not_found:
    cells whose answer was not found again in the prompt. empty_cells: passed cells in which no head scored. highest:
    mean score of the best head. k .. spearman: agreement of the mean scores with those without quirks (`agreement`).
    masked_k: size of the head sets, the nearest to `shown`; intervals as for the masked curve, over `needles`.
    """
    clean = variants[NONE].head_scores.flat.mean(0)
    rows = []
    for quirk, found in variants.items():
        means = settled(found.head_scores.flat.mean(0))
        alike = agreement(means, clean, shown, threshold)
        rows.append(
            {
                "quirk": quirk,
                "passed_cells": int(found.cells["passed"].sum()),
                "cells": len(found.cells),
                "not_found": int((found.cells["answer_start"] < 0).sum()),
                "empty_cells": found.head_scores.empty_cells,
                "retrieval_heads": int((means > threshold).sum()),
                "highest": means.max(),
                **{key: alike[key] for key in ("k", "overlap", "overlap_chance", "spearman")},
                **_success(found.runs, shown),
            }
        )
    return pd.DataFrame(rows)


def _success(runs: pd.DataFrame, shown: int) -> dict[str, float]:
    curve = masked_curve(runs)
    sizes = curve.loc[curve["kind"] == "top", "k"]
    size = min(sizes, key=lambda k: abs(k - shown), default=None)
    row: dict[str, float] = {"masked_k": size, "needles": int(curve["needles"].max())}
    for kind, name in SUCCESS.items():
        # A model whose head sets were given has none of the top or of random ones.
        for one in curve[(curve["kind"] == kind) & curve["k"].isin([0, size])].head(1).to_dict("records"):
            row |= {name: one["success"], f"{name}_low": one["ci_low"], f"{name}_high": one["ci_high"]}
    return row
