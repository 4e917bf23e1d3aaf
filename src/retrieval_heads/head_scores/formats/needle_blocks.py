"""Which cells of a published file belong to one needle: the scores tell, though the file does not say so.

A copy score counts tokens and divides by the needle's length, so all scores of a cell are multiples of 1 / length; and
the released detection goes through its needles one after the other. Cells in a row with one common denominator are thus
the cells of one needle.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

# ASSUME: no needle is longer, in tokens; with more, six decimals no longer tell one denominator from another.
LONGEST = 128


def needle_blocks(scores: np.ndarray) -> pd.DataFrame | None:
    """One row a cell, `needle` named by its length such as "29 tokens"; None where the scores do not tell.

    scores: float [cells, layers, heads]. Cells that say nothing (all scores whole numbers: as a rule all zero) go to
    the needle before them. None when a cell has no common denominator up to `LONGEST`, or when a denominator comes back
    after another one, for then these are no blocks.
    """
    found = pd.Series([_denominator(np.unique(cell)) for cell in scores])
    filled = found.where(found != 1).ffill().bfill()
    blocks = int((filled != filled.shift()).sum())
    if found.isna().any() or filled.isna().any() or blocks != filled.nunique():
        return None
    return pd.DataFrame({"needle": [f"{length:.0f} tokens" for length in filled]})


def _denominator(values: np.ndarray) -> float:
    """The smallest number that makes all values whole (to what six decimals leave of them), NaN when there is none."""
    lengths = np.arange(1, LONGEST + 1)[:, None]
    multiples = values * lengths
    whole = (np.abs(multiples - multiples.round()) < 1e-6 * lengths).all(axis=1)
    return float(lengths[whole.argmax(), 0]) if whole.any() else np.nan
