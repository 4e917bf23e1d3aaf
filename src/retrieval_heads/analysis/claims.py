"""The five claims of Wu et al. 2024 (https://arxiv.org/abs/2404.15574) and one more, each with its deciding number.

The sixth is not the paper's: that the heads are not only needed but enough.

A claim that a study cannot decide (no relative of a model, no masked runs) keeps its row and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from retrieval_heads.head_scores.ranking import NO_HEAD
from retrieval_heads.rounding import settled

COLUMNS = ["model", "claim", "measure", "value", "ci_low", "ci_high", "interval", "needles"]
COLUMNS += ["against", "against_value"]


def claims(
    scores: pd.DataFrame,
    sweep: pd.DataFrame,
    agreement: pd.DataFrame,
    curve: pd.DataFrame | None,
    contrast: pd.DataFrame | None,
    *,
    families: Mapping[str, str],
    threshold: float,
    k: int,
    patched: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """`COLUMNS`, six rows or more a model. interval: what was resampled. needles: on how many the interval rests (0:
    not known). against: what to read the value against.

    scores, sweep, agreement, curve, contrast: the tables head_scores, threshold_sweep, model_agreement, masked_curve,
    masked_contrast of the study; the last two are None where no model runs. k: the size of head set, of those in the
    curve the nearest is taken. patched: the table patched_curve, None where nothing is patched.
    """
    rows = []
    for model, ranking in scores.groupby("model", sort=False):
        masked, against = (
            table[table["model"] == model] if table is not None else pd.DataFrame() for table in (curve, contrast)
        )
        restored = patched[patched["model"] == model] if patched is not None else pd.DataFrame()
        found = [
            _universal(ranking, threshold),
            _sparse(sweep[sweep["model"] == model], threshold, ranking["needles"].iloc[0]),
            *_intrinsic(model, agreement, families),
            _dynamic(ranking[ranking["score"] > threshold]),
            *_causal(masked, against, k),
            _sufficient(restored, k),
        ]
        rows += [{"model": model, **row} for row in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def _universal(ranking: pd.DataFrame, threshold: float) -> dict:
    best = ranking.loc[settled(ranking["score"]).idxmax()]
    name = f"score of its best head, {best['layer']}-{best['head']}" if best["score"] > 0 else "no score is above 0"
    return {
        "claim": "universal: a model that reads long contexts has retrieval heads",
        "measure": name if best["score"] > threshold else f"{NO_HEAD}: {name}",
        "value": best["score"],
        "ci_low": best["ci_low"],
        "ci_high": best["ci_high"],
        "interval": best["resampled"],
        "needles": best["needles"],
        "against": "threshold of a retrieval head",
        "against_value": threshold,
    }


def _sparse(sweep: pd.DataFrame, threshold: float, needles: int) -> dict:
    row = sweep.loc[settled((sweep["threshold"] - threshold).abs()).idxmin()]
    return {
        "claim": "sparse: few heads are retrieval heads",
        "measure": f"% of heads above {row['threshold']:g}",
        "value": row["share"],
        "ci_low": row["ci_low"],
        "ci_high": row["ci_high"],
        "interval": row["resampled"],
        "needles": needles,
        "against": "the paper: less than",
        "against_value": 5.0,
    }


def _intrinsic(model: str, agreement: pd.DataFrame, families: Mapping[str, str]) -> Iterator[dict]:
    """One row for each relative of which the table knows an agreement."""
    claim = "intrinsic: a model's relatives have the same retrieval heads"
    found = agreement[(agreement["model_a"] != agreement["model_b"]) & agreement["pearson"].notna()]
    found = found[(found["model_a"] == model) | (found["model_b"] == model)]
    others = found["model_a"].where(found["model_b"] == model, found["model_b"])
    same = others.map(lambda other: families[other] == families[model]).astype(bool)
    strangers = found[~same]["pearson"]
    for other, r in zip(others[same], found[same]["pearson"], strict=True):
        yield {
            "claim": claim,
            "measure": f"Pearson's r with {other}",
            "value": r,
            "against": "models of other families, mean",
            "against_value": strangers.mean(),
        }
    if not same.any():
        yield {"claim": claim, "measure": "not decided: no relative of this model in the study"}


def _dynamic(retrieval: pd.DataFrame) -> dict:
    claim = "dynamic: some retrieval heads work in every context, others in some"
    if retrieval.empty:
        return {"claim": claim, "measure": f"not decided: {NO_HEAD}"}
    if retrieval["activation_frequency"].isna().all():
        return {"claim": claim, "measure": "not decided: no scores of single cells"}
    always = int((retrieval["activation_frequency"] == 1).sum())
    low, high = proportion_confint(always, len(retrieval), method="wilson")
    return {
        "claim": claim,
        "measure": "% of its retrieval heads that are active in every cell in which any head is",
        "value": 100 * always / len(retrieval),
        "ci_low": 100 * low,
        "ci_high": 100 * high,
        "interval": "heads (Wilson)",
        "against": "mean activation frequency of all retrieval heads, %",
        "against_value": 100 * retrieval["activation_frequency"].mean(),
    }


def _causal(curve: pd.DataFrame, contrast: pd.DataFrame, k: int) -> Iterator[dict]:
    """Success with the top heads masked, and how much less that is than with random heads."""
    claim = "causal: without them retrieval fails"
    top = curve[curve["kind"] == "top"] if len(curve) else curve
    if top.empty:
        yield {"claim": claim, "measure": "not decided: no masked runs"}
        return
    row = top.loc[(top["k"] - k).abs().idxmin()]
    random = curve[(curve["kind"] == "random") & (curve["k"] == row["k"])]
    yield {
        "claim": claim,
        "measure": f"success with its top {row['k']} heads masked, %",
        "value": row["success"],
        "ci_low": row["ci_low"],
        "ci_high": row["ci_high"],
        "interval": "needles, then cells",
        "needles": row["needles"],
        "against": "as many random heads masked, %",
        "against_value": random["success"].mean(),
    }
    for found in contrast[contrast["k"] == row["k"]].itertuples():
        yield {
            "claim": claim,
            "measure": f"the same less success with {found.k} random heads masked, points",
            "value": found.difference,
            "ci_low": found.ci_low,
            "ci_high": found.ci_high,
            "interval": "needles, then cells, and draws",
            "needles": found.needles,
            "against": "no difference",
            "against_value": 0.0,
        }


def _sufficient(curve: pd.DataFrame, k: int) -> dict:
    """What the outputs of the top heads alone restore where the needle says something else."""
    claim = "sufficient: their outputs alone bring the answer back"
    here = curve[(curve["direction"] == "denoising") & (curve["what"] == "outputs")] if len(curve) else curve
    top = here[here["kind"] == "top"] if len(here) else here
    if top.empty:
        return {"claim": claim, "measure": "not decided: no patched runs of outputs (config `patched`)"}
    row = top.loc[(top["k"] - k).abs().idxmin()]
    random = here[(here["kind"] == "random") & (here["k"] == row["k"])]
    return {
        "claim": claim,
        "measure": f"share of the difference that the outputs of its top {row['k']} heads restore, %",
        "value": row["share"],
        "ci_low": row["ci_low"],
        "ci_high": row["ci_high"],
        "interval": "needles, then cells",
        "needles": row["needles"],
        "against": "as many random heads, %",
        "against_value": random["share"].mean(),
    }
