"""Rows of a task out of a folder (`downstream.sources.<task>.path`); what cannot be read is named by file and line."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from datasets import load_dataset

from retrieval_heads.downstream.tasks.items import TaskDataError, normalised
from retrieval_heads.sources.text_files import read_text


def folder_items(task: str, folder: Path, split: str) -> list[dict]:
    """The items of one split. Raises `TaskDataError` or `TextFileError` with the key, the file and the line."""
    key = f"downstream.sources.{task}.path"
    lines = {file: list(_lines(file, key)) for file in sorted(Path(folder).glob("*.jsonl"))}
    try:
        with tempfile.TemporaryDirectory() as cache:
            rows = list(load_dataset(str(folder), split=split, cache_dir=cache))
    except StopIteration:
        raise TaskDataError(f"{key}: '{folder}' holds files without a row; fill them or take them away") from None
    except Exception as error:  # readers of all formats raise errors of their own
        said = str(error.__cause__ or error).split("\n")[0].rstrip(".")
        raise TaskDataError(
            f"{key}: '{folder}' cannot be read as the split '{split}' ({said}); put a file of that name there "
            f"({split}.jsonl), or name its split in downstream.sources.{task}.split"
        ) from error
    # Rows of one file of lines can be named by their lines.
    own = [(file, numbers) for file, numbers in lines.items() if len(numbers) == len(rows)]
    file, numbers = own[0] if len(own) == 1 else (folder, None)
    return normalised(
        task, rows, lambda row: f"{key}: '{file}', {f'line {numbers[row]}' if numbers else f'row {row + 1} of {split}'}"
    )


def _lines(file: Path, key: str) -> Iterator[int]:
    """The numbers of the lines that hold a row."""
    for number, line in enumerate(read_text(file, key).split("\n"), start=1):
        if line.strip():
            try:
                json.loads(line)
            except ValueError as error:
                raise TaskDataError(
                    f"{key}: '{file}', line {number} is no JSON ({error}); was the file cut short? Write one row a line"
                ) from None
            yield number
