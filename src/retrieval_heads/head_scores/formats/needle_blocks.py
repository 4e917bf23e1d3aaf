"""Which cells of a published file belong to one needle: the scores tell, though the file does not say so.

A copy score counts tokens and divides by the needle's length, so all scores of a cell are multiples of 1 / length; and
the released detection goes through its needles one after the other. Cells in a row with one common denominator are thus
the cells of one needle.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from retrieval_heads.head_scores.intervals import UNKNOWN

# ASSUME: no needle is longer, in tokens; with more, six decimals no longer tell one denominator from another.
LONGEST = 128
# ASSUME: of so many needles a file of the released detection holds cells, so that no other stands at either end.
NEEDLES = 3


def needle_blocks(scores: np.ndarray) -> pd.DataFrame | None:
    """One row a cell, `needle` named by its length such as "29 tokens"; None where the scores do not tell.

    scores: float [cells, layers, heads]. Cells that say nothing (all scores whole numbers, as a rule all zero, or one
    cell whose denominator divides that of the next cells: the scores of a needle of 20 tokens may all be halves) belong
    to the needle around them. Between two needles, and at an end of a file of fewer than `NEEDLES`, they may be of
    either: where all needles then have equally many cells, that decides, otherwise they are of the needle `UNKNOWN`.
    None when a cell has no common denominator up to `LONGEST`, or when a denominator comes back after another one, for
    then these are no blocks.
    """
    found = pd.Series([_denominator(np.unique(cell)) for cell in scores], dtype=float)
    told = _without_doubt(found)
    before, after = told.ffill(), told.bfill()
    named = told.dropna()
    lengths = named[named != named.shift()].to_list()
    if found.isna().any() or not lengths or len(set(lengths)) != len(lengths):
        return None
    sure = before.eq(after) | ((before.isna() | after.isna()) & (len(lengths) >= NEEDLES))
    equally = None if sure.all() else _equally(before, after, lengths, found)
    filled = before.fillna(after).where(sure) if equally is None else equally
    return pd.DataFrame(
        {"needle": filled.map(lambda length: f"{length:.0f} tokens", na_action="ignore").fillna(UNKNOWN)}
    )


def _without_doubt(found: pd.Series) -> pd.Series:
    """The denominators, missing where a cell may be of a longer needle beside it: 1, or one cell's that divides it."""
    told = found.where(found != 1)
    while True:
        named = told.dropna()
        before, after = named.shift(), named.shift(-1)
        alone = named.ne(before) & named.ne(after)
        divides = ((before % named == 0) & named.lt(before)) | ((after % named == 0) & named.lt(after))
        if not (alone & divides).any():
            return told
        told[named.index[alone & divides]] = np.nan


def _equally(before: pd.Series, after: pd.Series, lengths: list[float], found: pd.Series) -> pd.Series | None:
    """The needle of each cell if all have equally many cells; None where that contradicts the scores."""
    if len(before) % len(lengths):
        return None
    filled = pd.Series(np.repeat(lengths, len(before) // len(lengths)))
    possible = (filled.eq(before) | filled.eq(after)) & (filled % found == 0)
    # As long a run of cells that say nothing may be a needle of its own.
    unsure = (~before.eq(after)).groupby((before.eq(after)).cumsum()).sum().max()
    shortest = before[before.eq(after)].value_counts().min()
    return filled if possible.all() and unsure < shortest else None


def _denominator(values: np.ndarray) -> float:
    """The smallest number that makes all values whole (to what six decimals leave of them), NaN when there is none."""
    lengths = np.arange(1, LONGEST + 1)[:, None]
    multiples = values * lengths
    whole = (np.abs(multiples - multiples.round()) < 1e-6 * lengths).all(axis=1)
    return float(lengths[whole.argmax(), 0]) if whole.any() else np.nan
