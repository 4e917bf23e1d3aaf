"""Does the measurement find in the phantom exactly what was planted? Pure functions of tables."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

Head = tuple[int, int]


class CalibrationError(ValueError):
    """The workflow does not measure what was planted; the message lists where."""


def check_detection(scores: pd.DataFrame, planted: Collection[Head], threshold: float) -> pd.DataFrame:
    """length depth found precision recall, from needle, length, depth, layer, head and copy_count.

    A head is found where its mean over the needles is above the threshold.
    """
    means = scores.groupby(["length", "depth", "layer", "head"], as_index=False)["copy_count"].mean()
    rows = []
    for (length, depth), cell in means.groupby(["length", "depth"]):
        hits = cell[cell["copy_count"] > threshold]
        found = set(zip(hits["layer"], hits["head"], strict=True))
        right = len(found & set(planted))
        rows.append(
            {
                "length": length,
                "depth": depth,
                "found": len(found),
                "precision": right / len(found) if found else 0.0,
                "recall": right / len(planted),
            }
        )
    return pd.DataFrame(rows)


def check_masking(runs: pd.DataFrame) -> pd.DataFrame:
    """head_set length success: percent of cells that pass, from the table of masked runs."""
    table = runs.groupby(["head_set", "length"], as_index=False)["passed"].mean()
    return table.assign(success=100 * table.pop("passed"))


def require_calibrated(detection: pd.DataFrame, masking: pd.DataFrame) -> None:
    """Raise `CalibrationError` unless every planted head and no other is found at every length and depth, and masking
    the planted heads takes retrieval to zero while masking all others leaves it whole."""
    faults = [
        f"length {row.length}, depth {row.depth} %: precision {row.precision:.2f}, recall {row.recall:.2f}"
        for row in detection.itertuples()
        if row.precision < 1 or row.recall < 1
    ]
    wanted = {"unmasked": 100.0, "others": 100.0, "planted": 0.0}
    faults += [
        f"length {row.length}, heads masked: {row.head_set}: success {row.success:.0f} %, not {wanted[row.head_set]:.0f} %"
        for row in masking.itertuples()
        if row.success != wanted[row.head_set]
    ]
    if faults:
        raise CalibrationError("the phantom's planted heads were not measured as planted:\n" + "\n".join(faults))
