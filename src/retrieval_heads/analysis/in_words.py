"""Numbers as a reader wants them: three digits, the 95 % interval behind them, and what would narrow it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from retrieval_heads.rounding import settled

# Beyond so many needles nobody will go.
MOST_NEEDLES = 100


def number(value: float) -> str:
    """Three digits, without an exponent."""
    if value == round(value) or abs(value) >= 99.5:
        return f"{value:.0f}".replace("-", "−")
    return np.format_float_positional(value, 3, unique=False, fractional=False, trim="-").replace("-", "−")


def interval(low: float, high: float) -> str:
    """The ends of an interval, to stand behind a number; nothing where there is none."""
    return "" if pd.isna(low) else f" [{number(low)}, {number(high)}]"


def with_interval(row: Mapping, value: str, unit: str = "") -> str:
    """A number of a row with its unit and the interval of the row."""
    return f"{number(row[value])}{unit}{interval(row['ci_low'], row['ci_high'])}"


def needles_to_part(row: Mapping, reference: float) -> str:
    """What would take `reference` out of a row's interval (value, ci_low, ci_high, needles); nothing where it is out.

    The half width of an interval falls with the root of the number of needles.
    """
    needles, value = row["needles"], row["value"]
    if pd.isna(row["ci_low"]) or not settled(row["ci_low"]) <= settled(reference) <= settled(row["ci_high"]):
        return ""
    if needles == 0:
        return f"the interval holds {number(reference)}: more needles, and cells that name theirs"
    if needles == 1:
        return f"the interval holds {number(reference)} and rests on cells of one needle: six needles or more"
    end = row["ci_low"] if value > reference else row["ci_high"]
    away = abs(value - reference)
    wanted = math.ceil(needles * ((value - end) / away) ** 2) + 1 if away else math.inf
    held = f"the interval holds {number(reference)}"
    if wanted > MOST_NEEDLES:
        return f"{held}, next to the value: more than {MOST_NEEDLES} needles (now {needles:.0f})"
    return f"{held}: about {wanted} needles (now {needles:.0f}), if they scatter as these do"
