"""The five claims of Wu et al. 2024 (https://arxiv.org/abs/2404.15574) and one more, each with its deciding number.

The sixth is not the paper's: that the heads are not only needed but enough.

A claim that a study cannot decide (no relative of a model, no masked runs) keeps its row and says what would decide it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from retrieval_heads.analysis.in_words import interval, needles_to_part, number, with_interval
from retrieval_heads.head_scores.intervals import LEVEL
from retrieval_heads.head_scores.ranking import NO_HEAD
from retrieval_heads.masking_analysis.needle_tests import least
from retrieval_heads.rounding import settled

COLUMNS = ["model", "claim", "measure", "value", "ci_low", "ci_high", "interval", "needles"]
COLUMNS += ["against", "against_value", "in_words", "to_decide"]
# The paper's bound of the share of retrieval heads, in percent.
FEW = 5.0


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
    not known). against: what to read the value against. in_words: the same in a sentence, rounded. to_decide: what
    would decide a claim that is open, empty where nothing is missing.

    scores, sweep, agreement, curve, contrast: the tables head_scores, threshold_sweep, model_agreement, masked_curve,
    masked_contrast of the study; the last two are None where no model runs. k: the size of head set, of those in the
    curve the nearest is taken. patched: the table patched_curve, None where nothing is patched.
    """
    rows = []
    for model, ranking in scores.groupby("model", sort=False):
        masked, against, restored = (
            table[table["model"] == model] if table is not None else pd.DataFrame()
            for table in (curve, contrast, patched)
        )
        found = [
            _universal(ranking, threshold),
            _sparse(sweep[sweep["model"] == model], threshold, ranking),
            *_intrinsic(model, ranking, agreement, families),
            _dynamic(ranking[ranking["score"] > threshold]),
            *_causal(masked, against, k, len(ranking)),
            _sufficient(restored, k),
        ]
        rows += [{"model": model, **row} for row in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def _open(claim: str, why: str, to_decide: str) -> dict:
    """A claim of which the study knows no number."""
    said = {"measure": f"not decided: {why}", "in_words": f"Not decided: {why}."}
    return {"claim": claim, **said, "to_decide": to_decide}


def _universal(ranking: pd.DataFrame, threshold: float) -> dict:
    best = ranking.loc[settled(ranking["score"]).idxmax()]
    head = f"{best['layer']}-{best['head']}"
    name = f"score of its best head, {head}" if best["score"] > 0 else "no score is above 0"
    words = (
        f"The best of {len(ranking)} heads, {head} (layer-head, from 0), has a mean score of "
        f"{with_interval(best, 'score')}; above {number(threshold)} a head counts as a retrieval head."
    )
    row = {
        "claim": "universal: a model that reads long contexts has retrieval heads",
        "measure": name if best["score"] > threshold else f"{NO_HEAD}: {name}",
        "value": best["score"],
        "ci_low": best["ci_low"],
        "ci_high": best["ci_high"],
        "interval": best["resampled"],
        "needles": best["needles"],
        "against": "threshold of a retrieval head",
        "against_value": threshold,
        "in_words": words if best["score"] > 0 else f"No score of {len(ranking)} heads is above 0.",
    }
    return row | {"to_decide": needles_to_part(row, threshold)}


def _sparse(sweep: pd.DataFrame, threshold: float, ranking: pd.DataFrame) -> dict:
    found = sweep.loc[settled((sweep["threshold"] - threshold).abs()).idxmin()]
    row = {
        "claim": "sparse: few heads are retrieval heads",
        "measure": f"% of heads above {found['threshold']:g}",
        "value": found["share"],
        "ci_low": found["ci_low"],
        "ci_high": found["ci_high"],
        "interval": found["resampled"],
        "needles": ranking["needles"].iloc[0],
        "against": "the paper: less than",
        "against_value": FEW,
        "in_words": f"{found['heads']} of {len(ranking)} heads ({with_interval(found, 'share', ' %')}) score above "
        f"{number(found['threshold'])}; the paper finds less than {number(FEW)} %.",
    }
    return row | {"to_decide": needles_to_part(row, FEW)}


def _intrinsic(
    model: str, ranking: pd.DataFrame, agreement: pd.DataFrame, families: Mapping[str, str]
) -> Iterator[dict]:
    """One row for each relative of which the table knows an agreement."""
    claim = "intrinsic: a model's relatives have the same retrieval heads"
    found = agreement[(agreement["model_a"] != agreement["model_b"]) & agreement["pearson"].notna()]
    found = found[(found["model_a"] == model) | (found["model_b"] == model)]
    others = found["model_a"].where(found["model_b"] == model, found["model_b"])
    same = others.map(lambda other: families[other] == families[model]).astype(bool)
    strangers = found[~same]["pearson"]
    apart = "no model of another family has the same layers and heads"
    if len(strangers):
        apart = f"with models of other families at {number(strangers.mean())} on average"
    for other, r in zip(others[same], found[same]["pearson"], strict=True):
        yield {
            "claim": claim,
            "measure": f"Pearson's r with {other}",
            "value": r,
            "against": "models of other families, mean",
            "against_value": strangers.mean(),
            "in_words": f"The heads' mean scores correlate with those of {other} at r = {number(r)}; {apart}.",
            "to_decide": "a model of another family with as many layers and heads" if strangers.empty else "",
        }
    if not same.any():
        relatives = [other for other, family in families.items() if family == families[model] and other != model]
        shape = f"{ranking['layer'].max() + 1} layers of {ranking['head'].max() + 1} heads"
        why = f"{', '.join(relatives)}: other layers or heads" if relatives else "no relative of it in the study"
        yield _open(claim, why, f"a model of the same `family` with {shape}, such as the base model of a tuned one")


def _dynamic(retrieval: pd.DataFrame) -> dict:
    claim = "dynamic: some retrieval heads work in every context, others in some"
    if retrieval.empty:
        return _open(claim, NO_HEAD, "a head above the threshold: more needles, or contexts that the model can answer")
    if retrieval["activation_frequency"].isna().all():
        return _open(claim, "no scores of single cells", "detection here, or a file that has scores of single cells")
    always = int((retrieval["activation_frequency"] == 1).sum())
    low, high = (100 * end for end in proportion_confint(always, len(retrieval), method="wilson"))
    share, mean = 100 * always / len(retrieval), 100 * retrieval["activation_frequency"].mean()
    return {
        "claim": claim,
        "measure": "% of its retrieval heads that are active in every cell in which any head is",
        "value": share,
        "ci_low": low,
        "ci_high": high,
        "interval": "heads (Wilson)",
        "against": "mean activation frequency of all retrieval heads, %",
        "against_value": mean,
        "in_words": f"{always} of {len(retrieval)} retrieval heads ({number(share)} %{interval(low, high)}) score "
        f"above 0 in every cell in which any head does; on average one does so in {number(mean)} % of them.",
    }


def _causal(curve: pd.DataFrame, contrast: pd.DataFrame, k: int, heads: int) -> Iterator[dict]:
    """Success with the top heads masked, and how much less that is than with random heads."""
    claim = "causal: without them retrieval fails"
    top = curve[curve["kind"] == "top"] if len(curve) else curve
    if top.empty:
        if len(curve):
            yield _open(claim, "no runs with its top heads masked", "a study without `models.<name>.head_sets`")
        else:
            yield _open(claim, "no masked runs", "a checkpoint to mask heads in (config `models`), not scores alone")
        return
    row = top.loc[(top["k"] - k).abs().idxmin()]
    unmasked = curve[curve["kind"] == "none"].iloc[0]
    random = curve[(curve["kind"] == "random") & (curve["k"] == row["k"])]
    words = (
        f"Masking the top {row['k']} of {heads} heads takes success from {with_interval(unmasked, 'success', ' %')} to "
        f"{with_interval(row, 'success', ' %')}"
    )
    if len(random):
        control = random.iloc[0]
        left = with_interval(control, "success", " %")
        words += f"; as many random heads, {control['draws']} draws, leave {left}"
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
        "in_words": f"{words}.",
        "to_decide": "" if len(random) else "random heads as a control: smaller sizes of head sets",
    }
    for found in contrast[contrast["k"] == row["k"]].to_dict("records") if len(contrast) else []:
        yield _against_random(claim, found, len(contrast))


def _against_random(claim: str, found: Mapping, sizes: int) -> dict:
    """How much less succeeds than with random heads. found: a row of masked_contrast. sizes: that were compared."""
    row = {
        "claim": claim,
        "measure": f"the same less success with {found['k']} random heads masked, points",
        "value": found["difference"],
        "ci_low": found["ci_low"],
        "ci_high": found["ci_high"],
        "interval": "needles, then cells, and draws",
        "needles": found["needles"],
        "against": "no difference",
        "against_value": 0.0,
        "in_words": f"The difference is {with_interval(found, 'difference', ' points')}; {found['draws_as_low']} of "
        f"{found['draws']} random draws leave as little as the top heads.",
    }
    wanted = [needles_to_part(row, 0.0)]
    if pd.isna(found["p_needles"]):
        few = next(units for units in range(1, 13) if least(units) <= LEVEL)
        wanted.append(f"for a test over needles: {few} of them (now {found['needles']})")
    if pd.isna(found["p_draws_corrected"]):
        draws = math.ceil(settled(sizes / LEVEL)) - 1
        wanted.append(f"for a test over draws: {draws} `random_draws` (now {found['draws']})")
    return row | {"to_decide": "; ".join(filter(None, wanted))}


def _sufficient(curve: pd.DataFrame, k: int) -> dict:
    """What the outputs of the top heads alone restore where the needle says something else."""
    claim = "sufficient: their outputs alone bring the answer back"
    here = curve[(curve["direction"] == "denoising") & (curve["what"] == "outputs")] if len(curve) else curve
    top = here[here["kind"] == "top"] if len(here) else here
    if top.empty:
        return _open(claim, "no patched runs of outputs", "patched runs (config `patched`)")
    row = top.loc[(top["k"] - k).abs().idxmin()]
    random = here[(here["kind"] == "random") & (here["k"] == row["k"])]["share"].mean()
    return {
        "claim": claim,
        "measure": f"share of the difference that the outputs of its top {row['k']} heads restore, %",
        "value": row["share"],
        "ci_low": row["ci_low"],
        "ci_high": row["ci_high"],
        "interval": "needles, then cells",
        "needles": row["needles"],
        "against": "as many random heads, %",
        "against_value": random,
        "in_words": f"The outputs of the top {row['k']} heads alone restore {with_interval(row, 'share', ' %')} of the "
        f"difference between the two answers; those of as many random heads {number(random)} %.",
    }
