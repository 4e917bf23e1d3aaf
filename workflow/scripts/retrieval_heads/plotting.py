"""What all figures share: sizes, colours, and how a figure is saved beside the table that it draws."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

CENTIMETRE = 1 / 2.54
COLUMN, PAGE = 8.5 * CENTIMETRE, 17.0 * CENTIMETRE

# Okabe and Ito's palette, told apart in grey as well; the same kind looks the same in every figure.
KINDS = {
    "none": {"label": "not masked", "color": "#000000", "marker": "None", "linestyle": ":"},
    "top": {"label": "retrieval heads masked", "color": "#D55E00", "marker": "o", "linestyle": "-"},
    "random": {"label": "random heads masked", "color": "#56B4E9", "marker": "s", "linestyle": "--"},
}


def save(figure: Figure, table: pd.DataFrame, output: str) -> None:
    """Write `output`.pdf, .svg, .png and the drawn table as .tsv; the same bytes at every run."""
    undated = {"pdf": {"CreationDate": None, "ModDate": None, "Producer": None}, "svg": {"Date": None}, "png": {}}
    for kind, metadata in undated.items():
        figure.savefig(f"{output}.{kind}", metadata=metadata)
    table.to_csv(f"{output}.tsv", sep="\t", index=False, float_format="%.6g")
