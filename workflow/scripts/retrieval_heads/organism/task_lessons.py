"""Lessons in the three generated tasks: the prompts of the task files, and the answers to be learned."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from retrieval_heads.organism.lessons import padded
from retrieval_heads.organism.worlds import World
from retrieval_heads.tasks_training import FORMS, training_examples


class TaskLessons:
    """Batches of one dataset each, direct and chain of thought mixed; everything follows from the seed."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, folder: Path, seed: int) -> None:
        """folder: the task files."""
        self.tokenizer = tokenizer
        self.random = random.Random(seed)
        datasets = sorted({dataset for dataset, _ in FORMS})
        self.examples = {
            dataset: training_examples(folder, World(), seed, [form for form in FORMS if form[0] == dataset])
            for dataset in datasets
        }

    def batch(self, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """ids and targets, both int64 [batch, longest], of at most about `tokens` tokens; see `lessons.padded`."""
        examples = self.examples[self.random.choice(sorted(self.examples))]
        rows, longest = [], 0
        while (len(rows) + 1) * longest <= tokens:
            example = next(examples)
            prompt = self.tokenizer(example.prompt)["input_ids"]
            answer = self.tokenizer(example.answer, add_special_tokens=False)["input_ids"]
            answer.append(self.tokenizer.eos_token_id)
            rows.append((prompt + answer, [False] * len(prompt) + [True] * len(answer)))
            longest = max(longest, len(prompt) + len(answer))
        return padded(rows, self.tokenizer.eos_token_id)
