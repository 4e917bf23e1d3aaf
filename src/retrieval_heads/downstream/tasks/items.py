"""The items of a task: read in the columns of the published dataset, checked, put into one form, and drawn with a seed.

An item is a dict with a unique `item` and the columns that the task's file names (workflow/tasks).
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from retrieval_heads.downstream.tasks.answers import INVALID, only_number
from retrieval_heads.sources.text_files import read_table, read_text
from retrieval_heads.words import comparable, stands_in


class TaskDataError(ValueError):
    """Data that cannot be used; the message names the dataset, the column or file, and the remedy."""


def _mmlu(row: Mapping, number: int) -> dict:
    if len(row["choices"]) != 4 or row["answer"] not in range(4):
        raise TaskDataError(f"mmlu: row {number} must have four choices and an answer from 0 to 3")
    return {"item": f"test-{number}", **{name: row[name] for name in ("subject", "question", "choices", "answer")}}


def _gsm8k(row: Mapping, number: int) -> dict:
    target = row["answer"].partition("####")[2]
    if not target.strip():
        raise TaskDataError(f"gsm8k: the answer of row {number} does not end with '#### <number>'")
    gold = only_number(target)
    if gold == INVALID:
        raise TaskDataError(
            f"gsm8k: the answer of row {number}, '{target.strip()}', is no number; write one number behind '####'"
        )
    return {"item": f"test-{number}", "question": row["question"], "answer": row["answer"], "target": gold}


def _musique(row: Mapping, number: int) -> dict:
    names = ("paragraphs", "question", "answer", "answer_aliases")
    return {"item": str(row["id"]), **{name: row[name] for name in names}}


NORMALISE: dict[str, Callable[[Mapping, int], dict]] = {"mmlu": _mmlu, "gsm8k": _gsm8k, "musique": _musique}


def normalised(dataset: str, rows: Iterable[Mapping]) -> list[dict]:
    """Items from rows in the published columns. MuSiQue's unanswerable rows are left out.

    Raises `TaskDataError` for a missing column, a row that breaks the dataset's form, or an item that comes twice.
    """
    items = []
    for number, row in enumerate(rows):
        try:
            if row.get("answerable", True):
                items.append(NORMALISE[dataset](row, number))
        except KeyError as error:
            raise TaskDataError(f"{dataset}: row {number} has no column {error}; it has {sorted(row)}") from error
    names = [item["item"] for item in items]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TaskDataError(f"{dataset}: the item '{twice}' comes twice; give every row an id of its own")
    return items


def read_articles(folder: Path) -> list[dict]:
    """ExtractQA items from a folder of articles (`<article>.txt`) and `questions.tsv`.

    The table has the columns `article question answer aliases`; further right answers in `aliases` are parted by `|`.
    Raises `TaskDataError` when an answer does not stand in its article: then it could not be extracted.
    """
    key = "downstream.sources.extract_qa.path"
    columns, rows = read_table(folder / "questions.tsv", key)
    if missing := [name for name in ("article", "question", "answer", "aliases") if name not in columns]:
        raise TaskDataError(f"extract_qa: '{folder}/questions.tsv' has no column '{missing[0]}'; add it")
    items = []
    for number, row in enumerate(rows, start=1):
        path = folder / f"{row['article']}.txt"
        if not path.is_file():
            raise TaskDataError(f"extract_qa: line {number} of questions.tsv names '{path}', which is not there")
        text = read_text(path, key).strip()
        if not row["answer"] or not stands_in(comparable(row["answer"]), comparable(text)):
            raise TaskDataError(f"extract_qa: the answer '{row['answer']}' does not stand in '{path}'; copy its words")
        aliases = [alias.strip() for alias in row["aliases"].split("|") if alias.strip()]
        columns = {"title": row["article"], "article": text, "question": row["question"], "answer": row["answer"]}
        items.append({"item": f"{row['article']}-{number}", **columns, "answer_aliases": aliases})
    return items


def fitting(items: Sequence[dict], longest: int) -> list[dict]:
    """The items whose JSON line has at most `longest` characters; all of them for 0."""
    return [item for item in items if not longest or len(json.dumps(item, ensure_ascii=False)) <= longest]


def drawn(items: Sequence[dict], count: int, seed: int) -> list[dict]:
    """`count` items drawn with a seed, in their own order; all of them where there are no more. 0 takes all."""
    if count == 0 or count >= len(items):
        return list(items)
    chosen = random.Random(seed).sample(range(len(items)), count)
    return [items[place] for place in sorted(chosen)]


def read_items(path: Path) -> list[dict]:
    """Items from a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def write_items(path: Path, items: Iterable[Mapping]) -> str:
    """Write items as JSON lines; returns the file's SHA-256."""
    text = "".join(json.dumps(item, ensure_ascii=False, sort_keys=True) + "\n" for item in items)
    path.write_text(text, encoding="utf-8", newline="\n")
    return hashlib.sha256(text.encode()).hexdigest()
