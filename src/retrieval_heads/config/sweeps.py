"""Lengths and depths in short: {min, max, intervals, spacing} instead of a list.

linear: evenly spaced, ends included (np.linspace). sigmoid: denser at both ends, as the logistic spacing of the needle
test of Kamradt 2023 (https://github.com/gkamradt/LLMTest_NeedleInAHaystack), over any range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

KEYS = ("min", "max", "intervals", "spacing")
SPACINGS = ("linear", "sigmoid")
# Of the logistic curve over 0..100: half at 50, slope 0.1; its two ends are taken as 0 and 100.
STEEPNESS = 10


class SweepError(ValueError):
    """A sweep that cannot be spelt out; the message names the key, the value and the remedy."""


def spelt_out(config: Mapping) -> dict:
    """The config with a list in place of every sweep under `lengths` and `depths`, of any part and of any model."""
    full = {part: _with_lists(value, part) for part, value in config.items()}
    if isinstance(full.get("models"), Mapping):
        models = full["models"].items()
        full["models"] = {name: _with_lists(entry, f"models.{name}") for name, entry in models}
    return full


def _with_lists(part, key: str):
    if not isinstance(part, Mapping):
        return part
    sweeps = [name for name in ("lengths", "depths") if isinstance(part.get(name), Mapping)]
    return {**part, **{name: values(part[name], f"{key}.{name}") for name in sweeps}}


def values(sweep: Mapping, key: str) -> list[int]:
    """Whole numbers of a sweep, each once, growing. Raises `SweepError`."""
    unknown = [name for name in sweep if name not in KEYS]
    missing = [name for name in KEYS[:3] if name not in sweep]
    if unknown or missing:
        fault = f"unknown key '{unknown[0]}'" if unknown else f"the key '{missing[0]}' is missing"
        raise SweepError(f"{key}: {fault}; a sweep is {{min, max, intervals}} and maybe spacing")
    low, high, count, spacing = sweep["min"], sweep["max"], sweep["intervals"], sweep.get("spacing", "linear")
    if spacing not in SPACINGS:
        raise SweepError(f"{key}.spacing: '{spacing}' is unknown; use one of {', '.join(SPACINGS)}")
    if not all(isinstance(number, int) for number in (low, high, count)) or count < 2 or low >= high:
        raise SweepError(
            f"{key}: min {low}, max {high}, intervals {count} are no sweep; give whole numbers, max above min"
        )
    shares = [place / (count - 1) for place in range(count)]
    if spacing == "sigmoid":
        shares = [0.0, *(1 / (1 + math.exp(-STEEPNESS * (share - 0.5))) for share in shares[1:-1]), 1.0]
    return list(dict.fromkeys(round(low + share * (high - low)) for share in shares))
