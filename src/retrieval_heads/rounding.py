"""Comparisons that rounding cannot decide.

The last digits of a sum depend on the order in which it is added up, which differs from one BLAS library, processor and
number of threads to the next. Values are therefore rounded before they are compared, ranked or counted.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

# ASSUME: compared values stay below 1,000, where float64 keeps 12 decimals, and no real difference is smaller.
DECIMALS = 10

Values = TypeVar("Values")


def settled(values: Values) -> Values:
    """Values (a number, array, Series or DataFrame) rounded to `DECIMALS`, so that equal results compare as equal."""
    # Adding 0.0 turns -0.0 into 0.0.
    return np.round(values, DECIMALS) + 0.0
