"""Tables as a person reads them: units in the heads, rounded numbers over the full ones, a line on how to read them.

Each is a page of the report, where tab-separated tables can only be downloaded, and a part of the study's page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from retrieval_heads.analysis.in_words import interval, number

STYLE = """<style>
body { font: 14px/1.45 sans-serif; margin: 1.5em; color: #1a1a1a; }
table { border-collapse: collapse; }
caption { text-align: left; max-width: 50em; padding-bottom: 0.8em; }
th, td { padding: 0.3em 0.8em 0.3em 0; text-align: left; border-bottom: 1px solid #c8c8c8; vertical-align: top; }
thead th { position: sticky; top: 0; background: white; }
th[scope=rowgroup] { background: #f4f4f4; padding-left: 0.4em; }
</style>"""


@dataclass(frozen=True)
class Column:
    """One column as it is read.

    head: with its unit. value: name in the table. ends: names of the ends of its interval. scale: what values are
    multiplied with, 100 to turn a share into percent.
    """

    head: str
    value: str
    ends: tuple[str, str] | None = None
    scale: float = 1


@dataclass(frozen=True)
class Readable:
    """A table as it is read. title: of its page. reading: the line that says how to read it. source: its file.

    grouped: rows stand below the name of their model.
    """

    title: str
    reading: str
    source: str
    columns: tuple[Column, ...]
    grouped: bool = True


CI = ("ci_low", "ci_high")
CLAIMS = Readable(
    "Claims",
    "One row a claim: what was measured, with 95 % intervals in brackets, and what would decide the claim "
    "where this study leaves it open.",
    "results/tables/claims.tsv",
    (
        Column("Claim", "claim"),
        Column("Measured [95 % interval]", "in_words"),
        Column("Interval resamples", "interval"),
        Column("Needles", "needles"),
        Column("What would decide it", "to_decide"),
    ),
)
MODELS = Readable(
    "Models",
    "One row a model. Retrieval heads: mean score above the threshold. Empty cells: successful cells in which no head "
    "scores. Reliability: split-half correlation of the mean scores, in brackets the middle 95 % of the splits; near 1 "
    "other cells of the same needles would rank the heads alike.",
    "results/tables/models.tsv",
    (
        Column("Model", "model"),
        Column("Layers", "layers"),
        Column("Heads", "heads"),
        Column("Retrieval heads", "retrieval_heads"),
        Column("Of all heads (%)", "share"),
        Column("Best five (layer-head, from 0)", "best"),
        Column("Successful cells", "cells"),
        Column("Empty cells", "empty_cells"),
        Column("Needles", "needles"),
        Column("Heads active in every cell", "always_active"),
        Column("Reliability (r) [middle 95 %]", "reliability", ("reliability_low", "reliability_high")),
    ),
    grouped=False,
)
CONTRAST = Readable(
    "Retrieval heads against random heads",
    "One row a number of masked heads. A difference below 0 whose interval leaves out 0 says that the top heads "
    "cost more than random ones. Each p sees one source of chance, so believe the larger; empty: so few draws or "
    "needles can give no p of 0.05 or less.",
    "results/tables/masked_contrast.tsv",
    (
        Column("Heads masked", "k"),
        Column("Success, top heads masked (% of cells)", "top"),
        Column(
            "Success, random heads masked (% of cells) [middle 95 % of draws]", "random", ("random_low", "random_high")
        ),
        Column("Difference (points) [95 % interval]", "difference", CI),
        Column("Random draws", "draws"),
        Column("Draws as low as the top heads", "draws_as_low"),
        Column("p over draws, corrected", "p_draws_corrected"),
        Column("p over needles, corrected", "p_needles_corrected"),
        Column("Cells", "cells"),
        Column("Needles", "needles"),
    ),
)
RANKING = Readable(
    "Best heads",
    "One row a head, the best first. Mean score: over the successful cells. Active: share of cells in which the head "
    "scores above 0, of those in which any head does.",
    "results/tables/head_scores.tsv",
    (
        Column("Rank", "rank"),
        Column("Layer (from 0)", "layer"),
        Column("Head (from 0)", "head"),
        Column("Mean score [95 % interval]", "score", CI),
        Column(
            "Active (% of cells) [95 % interval]", "activation_frequency", ("activation_low", "activation_high"), 100
        ),
        Column("Successful cells", "cells"),
    ),
)


def best_heads(ranking: pd.DataFrame, most: int) -> pd.DataFrame:
    """The first `most` heads of every model that have a rank."""
    return ranking[ranking["rank"] <= most]


def as_html(table: pd.DataFrame, readable: Readable) -> str:
    """The table as HTML, without columns that hold nothing. Numbers have three digits; the full one is their tooltip.

    Roles stand beside the tags because a style sheet that lays rows out as blocks hides tables from screen readers.
    """
    columns = [one for one in readable.columns if _holds(table, one.value)]
    heads = "".join(f'<th scope="col" role="columnheader">{_text(one.head)}</th>' for one in columns)
    if readable.grouped:
        groups = table.groupby("model", sort=False)
        parts = [_group(model, len(columns)) + _rows(part, columns) for model, part in groups]
    else:
        parts = [_rows(table, columns)]
    body = "\n".join(f'<tbody role="rowgroup">\n{part}\n</tbody>' for part in parts)
    caption = f"{escape(readable.reading)} Full numbers: <code>{readable.source}</code>."
    return (
        f'<table role="table">\n<caption>{caption}</caption>\n'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>\n{body}\n</table>'
    )


def write_page(table: pd.DataFrame, readable: Readable, path: str | Path) -> None:
    """Write the table as a page of its own."""
    head = f'<meta charset="utf-8"><title>{escape(readable.title)}</title>\n{STYLE}'
    body = as_html(table, readable)
    Path(path).write_text(
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n', encoding="utf-8"
    )


def _holds(table: pd.DataFrame, name: str) -> bool:
    """Whether a table has a column with anything in it."""
    return name in table and bool((table[name].notna() & (table[name] != "")).any())


def _group(model: str, columns: int) -> str:
    """The row that names the model of the rows below it."""
    return f'<tr role="row"><th scope="rowgroup" role="rowheader" colspan="{columns}">{escape(model)}</th></tr>\n'


def _rows(table: pd.DataFrame, columns: Iterable[Column]) -> str:
    return "\n".join(f'<tr role="row">{"".join(_cells(row, columns))}</tr>' for row in table.to_dict("records"))


def _cells(row: Mapping, columns: Iterable[Column]) -> Iterable[str]:
    for column in columns:
        kind = "" if isinstance(row[column.value], str) else ' class="number"'
        yield f'<td role="cell" data-head="{_text(column.head)}"{kind}>{_shown(row, column)}</td>'


def _text(text: str) -> str:
    """A text in which numbers keep their unit beside them."""
    return escape(text).replace(" %", "\u00a0%")


def _shown(row: Mapping, column: Column) -> str:
    """One cell: a text, or a rounded number over its full one; nothing where there is no value."""
    value = row[column.value]
    if pd.isna(value):
        return ""
    if isinstance(value, str):
        # Names of files and keys stand between backticks; a head (layer-head) is not parted.
        named = re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(value))
        return re.sub(r"\b(\d+-\d+)\b", r'<span style="white-space: nowrap">\1</span>', named)
    ends = interval(*(column.scale * row[end] for end in column.ends)) if column.ends else ""
    return f'<data value="{value}" title="{value}">{number(column.scale * value)}</data>{ends}'
