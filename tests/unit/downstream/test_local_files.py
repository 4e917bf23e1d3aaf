"""Items out of a folder of one's own: what cannot be read is named by file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrieval_heads.downstream.tasks.items import (
    TaskDataError,
)
from retrieval_heads.downstream.tasks.local_files import folder_items
from retrieval_heads.sources.text_files import TextFileError

GSM = {"question": "How many?", "answer": "It is\n#### 29"}
MMLU = {"question": "Which?", "subject": "s", "choices": ["a", "b", "c", "d"], "answer": 2}
HOPS = {"id": "a", "paragraphs": [], "question": "Who?", "answer": "x", "answer_aliases": []}


def own_rows(folder: Path, task: str, content, name: str = "test.jsonl") -> list[dict]:
    """What a folder with one file gives: bytes, a text or rows."""
    if isinstance(content, list):
        content = "".join(f"{json.dumps(row)}\n" for row in content)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder_items(task, folder, "test")


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        (
            "gsm8k",
            '{"question": "é"}\n'.encode("latin-1"),
            "test.jsonl' is not UTF-8 (byte 15 is 0xe9); save it as UTF-8",
        ),
        ("gsm8k", json.dumps(GSM).encode("utf-16"), "test.jsonl' is not UTF-8"),
        ("gsm8k", f'{json.dumps(GSM)}\n\n{{"question": "Ho', "test.jsonl', line 3 is no JSON"),
        ("gsm8k", "", "holds files without a row; fill them"),
        ("gsm8k", [GSM, {**GSM, "answer": None}], "test.jsonl', line 2 has null in column 'answer', and text belongs"),
        ("gsm8k", [{**GSM, "answer": 29}], "test.jsonl', line 1 has 29 in column 'answer', and text belongs there"),
        ("gsm8k", [{**GSM, "answer": "x #### 1/2"}], "line 1 has an 'answer' that ends with '1/2', which is no number"),
        ("mmlu", [{**MMLU, "choices": None}], "line 1 has null in column 'choices', and list belongs there"),
        ("mmlu", [{**MMLU, "choices": "abcd"}], "line 1 has \"abcd\" in column 'choices', and list belongs there"),
        ("mmlu", [{**MMLU, "answer": 2.0}], "line 1 has 2.0 in column 'answer', and whole number belongs there"),
        ("mmlu", [{**MMLU, "answer": True}], "line 1 has true in column 'answer', and whole number belongs there"),
        ("mmlu", [{**MMLU, "choices": [*"abc", None]}], "has a choice in column 'choices' that is no text"),
        ("musique", [{**HOPS, "answerable": "false"}], "line 1 has 'false' as 'answerable'; write true or false"),
        ("musique", [{**HOPS, "id": None}], "line 1 has null in column 'id', and text or whole number belongs there"),
    ],
)
def test_own_files_that_break_their_form_are_named_by_line(tmp_path, task, content, message):
    with pytest.raises((TaskDataError, TextFileError)) as raised:
        own_rows(tmp_path, task, content)
    said = str(raised.value)
    assert said.startswith(f"downstream.sources.{task}.path: ") and message in said and "\n" not in said


def test_a_folder_without_the_split_names_both_remedies(tmp_path):
    for name in ("notes.md", "train.jsonl"):
        with pytest.raises(TaskDataError, match=r"cannot be read as the split 'test' .*downstream.sources.gsm8k.split"):
            own_rows(tmp_path, "gsm8k", [GSM], name)


def test_blank_lines_of_own_files_are_no_rows(tmp_path):
    assert [item["target"] for item in own_rows(tmp_path, "gsm8k", f"{json.dumps(GSM)}\n\n{json.dumps(GSM)}")] == [
        "29"
    ] * 2
