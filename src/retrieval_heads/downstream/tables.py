"""The report of the downstream tasks: scores with intervals, and tests against the unmasked run, all paired by item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from retrieval_heads.downstream.paired_tests import SET, Paired, bootstrap_p
from retrieval_heads.masking_analysis.needle_tests import holm, reachable

FORM = ["model", "task", "mode"]


class TableError(ValueError):
    """Tables that do not fit together; the message names the task."""


def report(verdicts: pd.DataFrame, forms: pd.DataFrame, fluency: pd.DataFrame) -> pd.DataFrame:
    """One row a model, task, mode, kind and size of head set.

    verdicts: model task mode item head_set kind k score readable cut tokens, score 0 to 1. forms: model task mode
    metric chance version. fluency: model kind k perplexity. Columns: what was asked (model to version); n items, units
    that are independent (`with_units`), draws head sets, score, chance, ci_low and ci_high (percent; 95 %, units, items
    and draws resampled); difference from unmasked and its interval (points); test, p, p_corrected (Holm over all tests
    of the model) and p_least, the smallest p that so many units and draws can give: where it is above 0.05 (for
    p_corrected times the tests), p is missing; unreadable and cut (percent of responses), tokens (mean length),
    perplexity of held-out text.
    """
    rows = []
    for form, part in with_units(verdicts).groupby(FORM, sort=False):
        paired = Paired(part)
        for key, own in part.groupby(SET, sort=False):
            asked = dict(zip([*FORM, *SET], [*form, *key], strict=True))
            rows.append({**asked, **_estimate(paired, key), **_manner(own)})
    table = pd.DataFrame(rows).merge(forms, on=FORM).merge(fluency, on=["model", *SET], how="left")
    return corrected(table.assign(chance=100 * table["chance"]))


def _estimate(paired: Paired, key: tuple[str, int]) -> dict:
    """Score and difference of a kind and size of head set."""
    masked = key[0] != "none"
    means, mean, plain = paired.resampled(key), paired.mean(key), paired.plain.mean()
    low, high = paired.interval(mean, means, (0, 100))
    lower, upper, test, p, smallest = np.nan, np.nan, "", np.nan, np.nan
    if masked:
        lower, upper = paired.interval(mean - plain, means - paired.plain_resampled, (-100, 100))
        test, p, smallest = paired.p(key)
    return {
        "n": len(paired.plain),
        "units": paired.units,
        "draws": paired.draws(key),
        "score": 100 * mean,
        "ci_low": low,
        "ci_high": high,
        "difference": 100 * (mean - plain),
        "difference_low": lower,
        "difference_high": upper,
        "test": test,
        "p": reachable(p, smallest),
        "p_least": smallest,
    }


def with_units(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Verdicts with `unit`: the item, and in `extract_qa`, where several items ask about one article, the article."""
    article = verdicts["item"].str.rsplit("-", n=1).str[0]
    return verdicts.assign(unit=article.where(verdicts["task"] == "extract_qa", verdicts["item"]))


def _manner(own: pd.DataFrame) -> dict[str, float]:
    """Form of the responses: without a readable answer, cut at the limit, mean length."""
    return {
        "unreadable": 100 * (~own["readable"].astype(bool)).mean(),
        "cut": 100 * own["cut"].mean(),
        "tokens": own["tokens"].mean(),
    }


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """The table with p_corrected behind p: Holm over the rows of each model that were tested.

    table: model p p_least.
    """
    adjusted = pd.Series(np.nan, index=table.index)
    for _, part in table.groupby("model"):
        adjusted[part.index] = holm(part["p"], part["p_least"])
    table.insert(table.columns.get_loc("p") + 1, "p_corrected", adjusted)
    return table


def contrasts(verdicts: pd.DataFrame) -> pd.DataFrame:
    """What the claims compare, each a difference over the same items.

    comparison `top - random`: how much more the top heads cost than as many random ones, in one mode. `cot - direct`:
    how much more a mask costs with chain of thought than without. Columns: model task mode comparison kind k n units
    draws difference ci_low ci_high (points lost more; 95 %, units, items and draws resampled) p (paired bootstrap)
    p_corrected p_least, as in `report`. p_least: of the top set among d draws of random ones 2 / (1 + d), of a
    difference that d draws show 2 / 2^d.
    """
    rows = []
    for (model, task), part in with_units(verdicts).groupby(["model", "task"], sort=False):
        paired = {mode: Paired(own) for mode, own in part.groupby("mode", sort=False)}
        found = [{"mode": mode, **row} for mode, own in paired.items() for row in _top_and_random(own)]
        if {"direct", "cot"} <= set(paired):
            found += [{"mode": "both", **row} for row in _cot_and_direct(task, paired["cot"], paired["direct"])]
        rows += [{"model": model, "task": task, **row} for row in found]
    columns = ["model", "task", "mode", "comparison", *SET, "n", "units", "draws", "difference"]
    columns += ["ci_low", "ci_high", "p", "p_least"]
    return corrected(pd.DataFrame(rows, columns=columns))


def _top_and_random(paired: Paired) -> list[dict]:
    rows = []
    for k in (k for kind, k in paired.wide if kind == "top" and ("random", k) in paired.wide):
        lost = paired.resampled(("random", k)) - paired.resampled(("top", k))
        observed = paired.mean(("random", k)) - paired.mean(("top", k))
        draws = paired.draws(("random", k))
        found = _contrast("top - random", ("top", k), paired, observed, lost, 2 / (1 + draws), 100)
        rows.append(found | {"draws": draws})
    return rows


def _cot_and_direct(task: str, cot: Paired, direct: Paired) -> list[dict]:
    if not direct.plain.index.equals(cot.plain.index):
        raise TableError(f"{task}: direct and chain of thought were asked about different items; answer both again")
    rows = []
    for key in (key for key in cot.wide if key[0] != "none" and key in direct.wide):
        lost = [form.plain_resampled - form.resampled(key) for form in (cot, direct)]
        observed = [form.plain.mean() - form.mean(key) for form in (cot, direct)]
        smallest = 2 / 2 ** cot.draws(key) if cot.draws(key) > 1 else 0.0
        rows.append(_contrast("cot - direct", key, cot, observed[0] - observed[1], lost[0] - lost[1], smallest, 200))
    return rows


def _contrast(
    comparison: str,
    key: tuple[str, int],
    paired: Paired,
    observed: float,
    lost: np.ndarray,
    of_draws: float,
    furthest: float,
) -> dict:
    """One row. of_draws: the smallest p that so many draws can give. furthest: the largest difference there can be."""
    low, high = paired.interval(observed, lost, (-furthest, furthest))
    smallest = max(paired.least(), of_draws)
    return {
        "comparison": comparison,
        "kind": key[0],
        "k": key[1],
        "n": len(paired.plain),
        "units": paired.units,
        "draws": paired.draws(key),
        "difference": 100 * observed,
        "ci_low": low,
        "ci_high": high,
        "p": reachable(max(bootstrap_p(lost), smallest), smallest),
        "p_least": smallest,
    }


def stacked(tables: Sequence[pd.DataFrame], forms: Sequence[dict]) -> pd.DataFrame:
    """Tables one over another, each with the columns of its form in front."""
    return pd.concat([table.assign(**form)[[*form, *table.columns]] for table, form in zip(tables, forms, strict=True)])
