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


# Columns of the published datasets, each with its type; booleans are no numbers here.
COLUMNS: dict[str, dict[str, tuple[type, ...]]] = {
    "mmlu": {"subject": (str,), "question": (str,), "choices": (list,), "answer": (int,)},
    "gsm8k": {"question": (str,), "answer": (str,)},
    "musique": {
        "id": (str, int),
        "paragraphs": (list,),
        "question": (str,),
        "answer": (str,),
        "answer_aliases": (list,),
    },
}
IN_WORDS = {str: "text", int: "whole number", list: "list"}


def _mmlu(row: Mapping, number: int, where: str) -> dict:
    if len(row["choices"]) != 4 or row["answer"] not in range(4):
        raise TaskDataError(f"{where} must have four choices and an answer from 0 to 3")
    if not all(isinstance(choice, str) for choice in row["choices"]):
        raise TaskDataError(f"{where} has a choice in column 'choices' that is no text; write texts there")
    return {"item": f"test-{number}", **{name: row[name] for name in COLUMNS["mmlu"]}}


def _gsm8k(row: Mapping, number: int, where: str) -> dict:
    target = row["answer"].partition("####")[2].strip()
    if not target:
        raise TaskDataError(f"{where} has an 'answer' that does not end with '#### <number>'")
    gold = only_number(target)
    if gold == INVALID:
        raise TaskDataError(f"{where} has an 'answer' that ends with '{target}', which is no number; write one there")
    return {"item": f"test-{number}", **{name: row[name] for name in COLUMNS["gsm8k"]}, "target": gold}


def _musique(row: Mapping, number: int, where: str) -> dict:
    return {"item": str(row["id"]), **{name: row[name] for name in COLUMNS["musique"] if name != "id"}}


NORMALISE: dict[str, Callable[[Mapping, int, str], dict]] = {"mmlu": _mmlu, "gsm8k": _gsm8k, "musique": _musique}


def normalised(dataset: str, rows: Iterable[Mapping], where: Callable[[int], str] | None = None) -> list[dict]:
    """Items from rows in the published columns. MuSiQue's unanswerable rows are left out.

    where: what an error calls the row of a number, from 0 on. Raises `TaskDataError` for a missing column or one of
    another type, a row that breaks the dataset's form, or an item that comes twice.
    """
    items, called = [], where or (lambda number: f"{dataset}: row {number}")
    for number, row in enumerate(rows):
        if type(answerable := row.get("answerable", True)) is not bool:
            raise TaskDataError(f"{called(number)} has {answerable!r} as 'answerable'; write true or false there")
        if answerable:
            _check_columns(dataset, row, called(number))
            items.append(NORMALISE[dataset](row, number, called(number)))
    names = [item["item"] for item in items]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TaskDataError(f"{dataset}: the item '{twice}' comes twice; give every row an id of its own")
    return items


def _check_columns(dataset: str, row: Mapping, where: str) -> None:
    for name, kinds in COLUMNS[dataset].items():
        if name not in row:
            raise TaskDataError(f"{where} has no column '{name}'; it has {sorted(row)}")
        if type(row[name]) not in kinds:
            wanted = " or ".join(IN_WORDS[kind] for kind in kinds)
            raise TaskDataError(
                f"{where} has {json.dumps(row[name], default=str)[:60]} in column '{name}', and {wanted} belongs there"
            )


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
