"""What all figures share: sizes, colours, and how a figure is saved beside the table that it draws."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from retrieval_heads.figures.fonts import cover_characters
from retrieval_heads.text_tables import write_table

CENTIMETRE = 1 / 2.54
COLUMN, PAGE = 8.5 * CENTIMETRE, 17.0 * CENTIMETRE
# Inches of a line of a panel's title.
TITLE_LINE = 0.115

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
    _make_room_for_titles(figure)
    undated = {"pdf": {"CreationDate": None, "ModDate": None, "Producer": None}, "svg": {"Date": None}, "png": {}}
    for kind, metadata in undated.items():
        figure.savefig(f"{output}.{kind}", metadata=metadata)
    write_table(table, f"{output}.tsv", float_format="%.6g")


def by_family(models: Iterable[str], families: Mapping[str, str]) -> list[str]:
    """Each model once, those of one family together, in the order of the names."""
    return sorted(set(models), key=lambda model: (families[model], model))


def _make_room_for_titles(figure: Figure) -> None:
    """Add the height of title lines beyond two to a figure, which otherwise takes it from its panels."""
    most: dict[int, int] = {}
    for panel in figure.axes:
        place = panel.get_subplotspec()
        lines_above = max(panel.get_title(loc).count("\n") for loc in ("left", "center", "right")) + 1
        if place is not None:
            most[place.rowspan.start] = max(most.get(place.rowspan.start, 2), lines_above)
    figure.set_figheight(figure.get_figheight() + TITLE_LINE * sum(count - 2 for count in most.values()))


def row_height(names: Sequence[str]) -> float:
    """Inches of a row with its name beside it, so that names of many lines do not meet."""
    return 0.07 + 0.105 * max(3, *(name.count("\n") + 1 for name in names))


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


def in_rows(members: Sequence[int], height: float) -> tuple[Figure, list[Axes]]:
    """A column's width of panels, one or two a row; a single one fills its row. members: panels of each row.

    height: of a row, as a share of the column's width.
    """
    figure = plt.figure(figsize=(COLUMN, COLUMN * (height * len(members) + 0.2)))
    grid = figure.add_gridspec(len(members), 2)
    panels = []
    for row, count in enumerate(members):
        places = [grid[row, :]] if count == 1 else [grid[row, 0], grid[row, 1]]
        panels += [figure.add_subplot(place) for place in places]
    return figure, panels


def small_multiples(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """Panels two a row on common axes, the last alone in its row where `count` is odd; see `in_rows`.

    Numbers stand at the left of each row, and below the last panel of each column and those that a wide one is under.
    """
    rows = [2] * (count // 2) + [1] * (count % 2)
    figure, panels = in_rows(rows, height)
    for number, panel in enumerate(panels):
        panel.sharex(panels[0]) if number else None
        panel.sharey(panels[0]) if number else None
        panel.tick_params(labelleft=number % 2 == 0, labelbottom=number >= count - 2 - count % 2)
    return figure, panels


def lines(label: str, width: int) -> str:
    """A label in lines of at most `width` characters, parted behind a hyphen, dot, slash, underscore or space, but not
    within a number or "4-bit"."""
    found = [""]
    for part in re.split(r"(?<=[-_/. ])(?<!\d\.(?=\d))(?<!\d-(?=bit))(?![-_/. ])", label):
        if found[-1] and len(found[-1]) + len(part.rstrip()) > width:
            found.append("")
        while len(part.rstrip()) > width:
            found[-1:] = [part[:width], ""]
            part = part[width:]
        found[-1] += part
    return "\n".join(line.rstrip() for line in found if line.strip())


def legend_above(figure: Figure, handles: Mapping[str, Artist], ncols: int = 2) -> None:
    """One legend above all panels. handles: text -> what it explains."""
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        ncols=ncols,
        columnspacing=0.9,
        handlelength=1.6,
        handletextpad=0.5,
        fontsize=6,
    )


def ticks(count: int, most: int) -> list[int]:
    """Where an axis of `count` layers or heads is labelled: the first, every so many, and the last; at most `most`."""
    steps = (1, 2, 4, 5, 8, 10, 16, 20, 25, 32, 40, 50, 64, 100, count)
    step = next(size for size in steps if (count - 1) / size <= most - 1)
    places = list(range(0, count, step))
    last = count - 1
    # The last one takes the place of a label that would touch it.
    if places[-1] != last:
        places = [place for place in places if last - place >= step / 2] + [last]
    return places


def band(colour: str, alpha: float = 0.25) -> Patch:
    """What stands for a band of intervals in a legend."""
    return Patch(facecolor=colour, alpha=alpha, linewidth=0)


def mark(**look) -> Line2D:
    """What stands for a line or a mark in a legend."""
    return Line2D([], [], **look)


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
