"""What a study found, in sentences with numbers: for the page that a reader opens first."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def findings(model: str, tables: Mapping[str, pd.DataFrame], threshold: float, k: int) -> list[str]:
    """Sentences about one model, each with its numbers and 95 % intervals.

    tables: models, head_scores, threshold_sweep and, where heads were masked, masked_curve (their columns:
    docs/outputs.md). k: size of the masked set that is described; the nearest size is taken.
    """
    own = {name: table[table["model"] == model] for name, table in tables.items()}
    sentences = [*_retrieval_heads(own, threshold)]
    curve = own.get("masked_curve")
    if curve is not None and (curve["kind"] == "top").any():
        sentences.append(_masking(curve, int(own["models"]["heads"].iloc[0]), k))
    return sentences


def _retrieval_heads(own: Mapping[str, pd.DataFrame], threshold: float) -> list[str]:
    model, ranking = own["models"].iloc[0], own["head_scores"].sort_values("rank")
    best, sweep = ranking.iloc[0], own["threshold_sweep"]
    share = sweep.loc[(sweep["threshold"] - threshold).abs().idxmin()]
    count = int(model["retrieval_heads"])
    if count == 0:
        return [f"No retrieval head was found: none of {model['heads']} heads has a mean score above {threshold:g}."]
    cells = "" if pd.isna(model.get("cells")) else f" over {int(model['cells'])} successful cells"
    return [
        f"{count} of {model['heads']} heads ({_number(model['share'])} %{_interval(share)}) have a mean retrieval "
        f"score above {threshold:g}{cells}.",
        f"The highest mean score is {_number(best['score'])}{_interval(best)}, of head {best['layer']}-{best['head']} "
        "(layer-head, counted from 0).",
    ]


def _masking(curve: pd.DataFrame, heads: int, k: int) -> str:
    """Success without a mask, with the top heads masked, and with as many random heads masked."""
    top = curve[curve["kind"] == "top"]
    row = top.loc[(top["k"] - k).abs().idxmin()]
    unmasked = curve[curve["kind"] == "none"].iloc[0]
    number = "head" if row["k"] == 1 else "heads"
    text = (
        f"Masking the top {row['k']} {number} of {heads} takes success in the needle test from "
        f"{_number(unmasked['success'])} %{_interval(unmasked)} to {_number(row['success'])} %{_interval(row)}"
    )
    random = curve[(curve["kind"] == "random") & (curve["k"] == row["k"])]
    if random.empty:
        return f"{text}."
    control = random.iloc[0]
    return (
        f"{text}; masking {row['k']} random {number} instead leaves {_number(control['success'])} %"
        f"{_interval(control)} (mean of {control['draws']} draws)."
    )


def _number(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 99.5 or value == round(value) else f"{value:.3g}"


def _interval(row: pd.Series) -> str:
    """The 95 % interval of a row, to stand behind its number; nothing where there is none."""
    return "" if pd.isna(row["ci_low"]) else f" [{_number(row['ci_low'])}, {_number(row['ci_high'])}]"
