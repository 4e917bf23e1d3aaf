"""Findings in sentences: the numbers of the tables, and nothing that they do not hold."""

from __future__ import annotations

import numpy as np
import pandas as pd

from retrieval_heads.figures.findings import findings

MODELS = pd.DataFrame({"model": ["m"], "heads": [270], "retrieval_heads": [18], "share": [20 / 3], "cells": [88.0]})
HEADS = pd.DataFrame(
    {
        "model": "m",
        "rank": [1, 2],
        "layer": [18, 17],
        "head": [6, 3],
        "score": [0.8, 0.741],
        "ci_low": [0.7, 0.6],
        "ci_high": [0.9, 0.8],
    }
)
SWEEP = pd.DataFrame(
    {
        "model": "m",
        "threshold": [0.075, 0.1, 0.125],
        "share": [9.0, 6.67, 5.0],
        "ci_low": [7.0, 5.0, 4.0],
        "ci_high": [10.0, 8.04, 6.0],
    }
)
CURVE = pd.DataFrame(
    {
        "model": "m",
        "kind": ["none", "top", "random", "top"],
        "k": [0, 5, 5, 20],
        "success": [96.7, 0.0, 91.9, 0.0],
        "ci_low": [90.0, 0.0, 84.2, 0.0],
        "ci_high": [100.0, 0.0, 97.0, 0.0],
        "draws": [1, 1, 10, 1],
    }
)
TABLES = {"models": MODELS, "head_scores": HEADS, "threshold_sweep": SWEEP, "masked_curve": CURVE}


def test_the_numbers_stand_in_the_sentences():
    share, best, masking = findings("m", TABLES, 0.1, 5)
    assert share == "18 of 270 heads (6.67 % [5, 8.04]) have a mean retrieval score above 0.1 over 88 successful cells."
    assert best.startswith("The highest mean score is 0.8 [0.7, 0.9], of head 18-6")
    assert masking == (
        "Masking the top 5 heads of 270 takes success in the needle test from 96.7 % [90, 100] to 0 % [0, 0]; masking "
        "5 random heads instead leaves 91.9 % [84.2, 97] (mean of 10 draws)."
    )


def test_the_nearest_size_is_described_and_a_missing_control_is_not_invented():
    assert "Masking the top 20 heads of 270" in findings("m", TABLES, 0.1, 30)[-1]
    assert "random" not in findings("m", TABLES, 0.1, 30)[-1]


def test_scores_from_elsewhere_say_nothing_about_masking():
    given = {**TABLES, "models": MODELS.assign(cells=np.nan), "head_scores": HEADS.assign(ci_low=np.nan)}
    del given["masked_curve"]
    share, best = findings("m", given, 0.1, 5)
    assert "successful cells" not in share
    assert "[" not in best


def test_a_model_without_retrieval_heads_is_not_ranked():
    none = {**TABLES, "models": MODELS.assign(retrieval_heads=0)}
    assert findings("m", none, 0.1, 5)[0] == (
        "No retrieval head was found: none of 270 heads has a mean score above 0.1."
    )
