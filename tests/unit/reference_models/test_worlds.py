"""Generated worlds: answers follow from the texts, and what is held out is never trained on."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path

import pytest

from retrieval_heads.downstream.tasks import harness
from retrieval_heads.downstream.tasks.items import normalised
from retrieval_heads.downstream.tasks.sources import PUBLISHED
from retrieval_heads.reference_models.organism.task_examples import FORMS, training_examples
from retrieval_heads.reference_models.organism.worlds import SPLITS, World, split_of

FOLDER = Path(__file__).parents[3] / "workflow/tasks"


@pytest.mark.parametrize("task", sorted(PUBLISHED))
def test_generated_rows_keep_their_split_and_follow_the_seed(task):
    rows = {split: World().rows(task, split, 60, seed=1) for split in SPLITS}
    for split, own in rows.items():
        assert {split_of(row) for row in own} == {split}
    contents = [{json.dumps({**row, "id": ""}, sort_keys=True) for row in own} for own in rows.values()]
    assert len(contents[0]) == len(contents[1]) == 60
    assert not contents[0] & contents[1]
    assert rows["test"] == World().rows(task, "test", 60, seed=1) != World().rows(task, "test", 60, seed=2)


def test_word_problems_and_two_hops_have_the_answers_that_their_texts_give():
    for row in World().rows("gsm8k", "test", 100, seed=5):
        who = re.search(r"does (\w+) have now", row["question"])[1]
        have = int(re.search(rf"{who} had (\d+)", row["question"])[1])
        changes = re.findall(rf"{who} (found|lost) (\d+)", row["question"])
        have += sum(int(number) * (1 if verb == "found" else -1) for verb, number in changes)
        assert row["answer"].endswith(f"#### {have}")
        assert have >= 0
        for left, sign, right, total in re.findall(r"<<(\d+)([+-])(\d+)=(\d+)>>", row["answer"]):
            assert int(left) + int(f"{sign}{right}") == int(total)
    for row in World().rows("musique", "test", 50, seed=5):
        for step in row["question_decomposition"]:
            support = row["paragraphs"][step["paragraph_support_idx"]]
            assert support["is_supporting"]
            assert step["answer"] in support["paragraph_text"]
        assert sum(paragraph["is_supporting"] for paragraph in row["paragraphs"]) == 2
        assert row["question_decomposition"][-1]["answer"] == row["answer"]


def test_facts_are_the_same_in_both_splits():
    told = {}
    for split in SPLITS:
        for row in World().rows("mmlu", split, 200, seed=9):
            assert told.setdefault(row["question"], row["choices"][row["answer"]]) == row["choices"][row["answer"]]
            assert len(set(row["choices"])) == 4


def test_training_examples_are_the_prompts_of_the_forms_without_what_is_held_out():
    world = World()
    examples = list(islice(training_examples(FOLDER, world, seed=0), 60))
    assert {(example.task, example.mode) for example in examples} == set(FORMS)
    assert examples == list(islice(training_examples(FOLDER, World(), seed=0), 60))
    held_out = set()
    for task, mode in FORMS:
        rows = normalised(task, world.rows(task, "test", 50, seed=0))
        held_out |= {prompt for prompt, _ in harness.pairs(harness.load(task, mode, FOLDER, rows))}
    assert not held_out & {example.prompt for example in examples}
    assert all(example.answer.startswith(" ") and example.answer.endswith(".") for example in examples)
