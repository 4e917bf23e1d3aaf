"""docs/outputs.md, compared with the tables that a study wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

PAGE = (Path(__file__).parents[1] / "docs/outputs.md").read_text(encoding="utf-8")
# Columns that depend on the config, so that a small study need not have them all.
OF_CHOICE = {"results/<model>/detection/scores.tsv.gz"}
# Snakemake's own tables, and the tables that figures draw (rows of those described).
OTHERS = ("benchmarks", "figures", "models", "archive", "restored", "plan.tsv", "reruns.tsv")
SIDE_FILES = {"cells", "runs", "steps", "answers", "shards"}


def described(text: str) -> set[str]:
    """The columns in the first column of the tables in a part of the page."""
    rows = re.findall(r"^\| (`[^|]*) \|", text, flags=re.M)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


EVERYWHERE = described(PAGE.split("\n## ")[1])
SECTIONS = dict(re.findall(r"^### `(results/[^`]+)`\n(.*?)(?=^##|\Z)", PAGE, flags=re.M | re.S))


def section(name: str) -> str | None:
    """The heading under which a file is described."""
    return next((key for key in SECTIONS if re.fullmatch(re.sub(r"<\w+>", "[^/]+", key), name)), None)


def tables(folder: Path) -> dict[str, set[str]]:
    """Table -> its columns, for all tables below a study's results but side files."""
    found = {}
    for path in sorted((folder / "results").rglob("*.tsv*")):
        parts = path.relative_to(folder / "results").parts
        if parts[0] not in OTHERS and not SIDE_FILES & set(parts[:-1]):
            found[path.relative_to(folder).as_posix()] = set(pd.read_csv(path, sep="\t", nrows=1).columns)
    return found


def faults(folder: Path) -> list[str]:
    """What the page says too little or too much of the tables of a study; metrics of tasks have names of their own."""
    found = []
    for name, columns in tables(folder).items():
        own = section(name)
        known = described(SECTIONS[own]) if own else set()
        if own is None:
            found.append(f"{name} is not on the page")
        elif more := {column for column in columns - known - EVERYWHERE if "," not in column}:
            found.append(f"{name}: {more} not described")
        elif own not in OF_CHOICE and (gone := known - columns):
            found.append(f"{name}: {gone} described and not there")
    return found
