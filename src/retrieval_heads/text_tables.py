"""Tables that hold text which a model or a data set wrote: written and read so that every character comes back.

Rows end at line feeds alone; a carriage return, a form feed or another character that ends lines elsewhere is text.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

# Columns that are text, whatever they look like: a response 007 is no number, a haystack 1984.txt neither.
TEXT = ("needle", "haystack", "head_set", "response", "text", "token", "peak_token", "record", "task", "item")
TEXT += ("sentence", "question", "counterpart", "machine")


def write_table(table: pd.DataFrame, path: Path | str, float_format: str | None = None) -> None:
    """Write a tab-separated table.

    Where a cell holds a carriage return, all texts are quoted: many readers end a row at one that is not.
    """
    texts = table.select_dtypes(exclude=["number", "bool"])
    returns = any(texts[name].astype(str).str.contains("\r", regex=False).any() for name in texts)
    quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    table.to_csv(
        path, sep="\t", index=False, float_format=float_format, quoting=quoting, lineterminator="\n", encoding="utf-8"
    )


def read_table(path: Path | str) -> pd.DataFrame:
    """Read what `write_table` wrote; the text of a cell is never taken for an empty value or a number."""
    kinds = dict.fromkeys(TEXT, str)
    return pd.read_csv(path, sep="\t", keep_default_na=False, lineterminator="\n", dtype=kinds, encoding="utf-8")


def over_models(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table out of those of all models, the column `model` first."""
    return pd.concat([table.assign(model=model)[["model", *table.columns]] for model, table in tables.items()])
