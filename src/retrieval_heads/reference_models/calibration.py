"""Does the measurement find in the phantom exactly what was planted? Pure functions of tables."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

Head = tuple[int, int]
# Head set -> percent of cells that must pass: only the planted heads carry the retrieval.
WANTED = {"unmasked": 100.0, "others": 100.0, "planted": 0.0}


class CalibrationError(ValueError):
    """The workflow does not measure what was planted; the message lists where."""


def check_detection(scores: pd.DataFrame, planted: Collection[Head], threshold: float) -> pd.DataFrame:
    """length depth found precision recall missed wrong, one row for each length and depth.

    scores: needle, length, depth, layer, head and copy_count, one row a head and cell. A head is found where
    its mean over the needles is above the threshold. missed, wrong: "layer-head" names.
    """
    means = scores.groupby(["length", "depth", "layer", "head"], as_index=False)["copy_count"].mean()
    rows = []
    for (length, depth), cell in means.groupby(["length", "depth"]):
        hits = cell[cell["copy_count"] > threshold]
        found = set(zip(hits["layer"], hits["head"], strict=True))
        right = found & set(planted)
        rows.append(
            {
                "length": length,
                "depth": depth,
                "found": len(found),
                "precision": len(right) / len(found) if found else 0.0,
                "recall": len(right) / len(planted),
                "missed": _names(set(planted) - found),
                "wrong": _names(found - right),
            }
        )
    return pd.DataFrame(rows)


def _names(heads: Collection[Head]) -> str:
    return " ".join(f"{layer}-{head}" for layer, head in sorted(heads))


def check_masking(runs: pd.DataFrame) -> pd.DataFrame:
    """head_set length success: percent of cells that pass, from the table of masked runs."""
    table = runs.groupby(["head_set", "length"], as_index=False)["passed"].mean()
    return table.assign(success=100 * table.pop("passed"))


def require_calibrated(detection: pd.DataFrame, masking: pd.DataFrame) -> None:
    """Raise `CalibrationError` unless the phantom was measured as planted.

    Every planted head and no other is found at every length and depth; masking the planted heads takes
    retrieval to zero, and masking all others leaves it whole, at every length of the detection.
    """
    faults = [
        f"length {row.length}, depth {row.depth} %: precision {row.precision:.2f}, recall {row.recall:.2f}"
        f" (missed: {row.missed or 'none'}; wrong: {row.wrong or 'none'})"
        for row in detection.itertuples()
        if row.precision < 1 or row.recall < 1
    ]
    if detection.empty:
        faults.append("no cell was measured")
    measured = masking.set_index(["head_set", "length"])["success"]
    for length in detection.get("length", pd.Series(dtype=int)).unique():
        for head_set, wanted in WANTED.items():
            success = measured.get((head_set, length))
            if success is None:
                faults.append(f"length {length}, heads masked: {head_set}: no such run")
            elif success != wanted:
                faults.append(f"length {length}, heads masked: {head_set}: success {success:.0f} %, not {wanted:.0f} %")
    if faults:
        raise CalibrationError("the phantom's heads were not measured as planted:\n" + "\n".join(faults))
