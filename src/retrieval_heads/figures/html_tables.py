"""A table as a page that a browser shows, for the report: tab-separated tables can only be downloaded from it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

STYLE = """<style>
body { font: 12px sans-serif; margin: 1.5em; }
table { border-collapse: collapse; }
th, td { padding: 0.3em 0.5em; text-align: left; border-bottom: 1px solid #ccc; vertical-align: top; }
th { position: sticky; top: 0; background: white; }
</style>"""


def write_page(table: pd.DataFrame, title: str, path: str | Path) -> None:
    """Write `table` as HTML; numbers with three digits, nothing where a value does not exist."""
    shown = table.rename(columns=lambda name: name.replace("_", " "))
    body = shown.to_html(index=False, border=0, na_rep="", float_format=lambda value: f"{value:.3g}")
    head = f'<meta charset="utf-8"><title>{title}</title>\n{STYLE}'
    Path(path).write_text(
        f"<!DOCTYPE html>\n<html><head>{head}</head>\n<body>\n{body}\n</body></html>\n", encoding="utf-8"
    )
