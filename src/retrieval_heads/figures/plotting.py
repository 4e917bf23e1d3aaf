"""What all figures share: sizes, colours, and how a figure is saved beside the table that it draws."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from retrieval_heads.figures.fonts import cover_characters
from retrieval_heads.text_tables import write_table

CENTIMETRE = 1 / 2.54
COLUMN, PAGE = 8.5 * CENTIMETRE, 17.0 * CENTIMETRE

# Okabe and Ito's palette, told apart in grey as well; the same kind looks the same in every figure.
KINDS = {
    "none": {"label": "not masked", "color": "#000000", "marker": "None", "linestyle": ":"},
    "top": {"label": "retrieval heads masked", "color": "#D55E00", "marker": "o", "linestyle": "-"},
    "random": {"label": "random heads masked", "color": "#56B4E9", "marker": "s", "linestyle": "--"},
}

# Where the words of a response come from: dark, light and no ground at all, told apart in grey as well.
ORIGINS = {
    "needle": {"label": "from the needle", "facecolor": "#0072B2", "color": "white"},
    "haystack": {"label": "from elsewhere in the haystack", "facecolor": "#F6C667", "color": "black"},
    "neither": {"label": "from neither", "facecolor": "white", "color": "black"},
}


def save(figure: Figure, table: pd.DataFrame, output: str) -> None:
    """Write `output`.pdf, .svg, .png and the drawn table as .tsv; the same bytes at every run."""
    cover_characters(figure)
    undated = {"pdf": {"CreationDate": None, "ModDate": None, "Producer": None}, "svg": {"Date": None}, "png": {}}
    for kind, metadata in undated.items():
        figure.savefig(f"{output}.{kind}", metadata=metadata)
    write_table(table, f"{output}.tsv", float_format="%.6g")


def by_family(models: Iterable[str], families: Mapping[str, str]) -> list[str]:
    """Each model once, those of one family together, in the order of the names."""
    return sorted(set(models), key=lambda model: (families[model], model))


def pack_families(families: Mapping[str, str], width: int) -> list[list[str]]:
    """Rows of up to `width` models, families whole where they fit, the largest first."""
    rows: list[list[str]] = []
    members = [
        [model for model in by_family(families, families) if families[model] == name] for name in families.values()
    ]
    for family in sorted({tuple(found) for found in members}, key=lambda found: (-len(found), found)):
        for start in range(0, len(family), width):
            part = list(family[start : start + width])
            roomy = [row for row in rows if len(row) + len(part) <= width]
            if roomy:
                roomy[0].extend(part)
            else:
                rows.append(part)
    return rows


def small_multiples(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """A column's width of panels, two a row, on common axes. height: of a panel, as a share of the column's width."""
    rows = math.ceil(count / 2)
    figure, grid = plt.subplots(
        rows, 2, figsize=(COLUMN, COLUMN * (height * rows + 0.2)), sharex=True, sharey=True, squeeze=False
    )
    for panel in grid.flat[count:]:
        panel.remove()
    return figure, list(grid.flat[:count])


def ink(value: float) -> str:
    """The colour of a number written on a field of the colour map that stands for `value`, 0..1."""
    return "black" if value != value or value > 0.55 else "white"


def short(value: float) -> str:
    """A share or correlation as it stands in a small field: two decimals without the leading 0; a dash for none."""
    if math.isnan(value):
        return "–"
    text = f"{value:.2f}".replace("-0.00", "0.00")
    text = text.removesuffix(".00") if text.endswith("1.00") else text
    return text.replace("0.", ".").replace("-", "−")


def wrap(parts: Iterable[tuple[str, str]], width: int) -> list[list[tuple[str, str]]]:
    """Lines of at most `width` characters out of a text in parts of different kinds: (text, kind), broken at spaces.

    Parts of one kind that meet in a line are one; a word longer than a line is cut.
    """
    lines: list[list[tuple[str, str]]] = [[]]
    for text, kind in parts:
        for word in re.findall(rf"\s*\S{{1,{width}}}\s*", text) or [text]:
            line = lines[-1]
            if line and sum(len(part) for part, _ in line) + len(word.rstrip()) > width:
                lines.append(line := [])
            if line and line[-1][1] == kind:
                line[-1] = (line[-1][0] + word, kind)
            else:
                line.append((word, kind))
    return lines
