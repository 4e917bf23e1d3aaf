"""Lessons in the three generated tasks: the prompts of the task files, and the answers to be learned.

The facts are also said by themselves: a fact that stands in one short sentence is seen ten times as often as one that
stands in a question with four choices.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from retrieval_heads.reference_models.organism.lessons import padded
from retrieval_heads.reference_models.organism.task_examples import FORMS, Example, training_examples
from retrieval_heads.reference_models.organism.worlds import World


class TaskLessons:
    """Batches of one form of one task each, or of facts; everything follows from the seed."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, folder: Path, seed: int) -> None:
        """folder: the task files."""
        self.tokenizer = tokenizer
        self.random = random.Random(seed)
        world = World()
        self.examples = [training_examples(folder, world, seed, [form]) for form in FORMS]
        self.examples.append(_facts(world, seed))

    def batch(self, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """ids and targets, both int64 [batch, longest], of at most about `tokens` tokens; see `lessons.padded`."""
        examples = self.random.choice(self.examples)
        rows, longest = [], 0
        while (len(rows) + 1) * longest <= tokens:
            example = next(examples)
            prompt = self.tokenizer(example.prompt)["input_ids"]
            answer = self.tokenizer(example.answer, add_special_tokens=False)["input_ids"]
            answer.append(self.tokenizer.eos_token_id)
            rows.append((prompt + answer, [False] * len(prompt) + [True] * len(answer)))
            longest = max(longest, len(prompt) + len(answer))
        return padded(rows, self.tokenizer.eos_token_id)


def _facts(world: World, seed: int) -> Iterator[Example]:
    """The facts of the world, all of them again and again, each time in another order."""
    draw = random.Random(seed)
    while True:
        for fact in draw.sample(sorted(world.facts), len(world.facts)):
            statement, value = world.statement(*fact), world.facts[fact]
            yield Example("facts", "stated", statement.removesuffix(f" {value}."), f" {value}.")
