"""Training examples in the very prompts of the task files, over generated rows that no evaluation holds out."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from retrieval_heads.downstream.tasks import harness
from retrieval_heads.downstream.tasks.items import normalised
from retrieval_heads.reference_models.organism.worlds import World

FORMS = tuple((dataset, mode) for dataset in ("mmlu", "gsm8k", "musique") for mode in ("direct", "cot"))
# Rows that are rendered together.
BLOCK = 64


@dataclass(frozen=True)
class Example:
    """One training text: the model reads `prompt` and learns to write `answer` (which opens with a space)."""

    task: str
    mode: str
    prompt: str
    answer: str


def training_examples(
    folder: Path, world: World, seed: int, forms: Sequence[tuple[str, str]] = FORMS
) -> Iterator[Example]:
    """Examples without end, every form as often as the others, in an order that the seed decides.

    folder: the task files. A row is asked in one form only; the rows are those of the training split.
    """
    draw = random.Random(seed)
    streams = {form: _rendered(folder, world, *form, seed=draw.randrange(2**32)) for form in forms}
    while True:
        for form in draw.sample(list(forms), len(forms)):
            yield next(streams[form])


def _rendered(folder: Path, world: World, dataset: str, mode: str, seed: int) -> Iterator[Example]:
    rows = world.stream(dataset, "train", seed)
    while True:
        items = normalised(dataset, [{**next(rows), "id": str(number)} for number in range(BLOCK)])
        for prompt, answer in harness.pairs(harness.load(dataset, mode, folder, items)):
            yield Example(dataset, mode, prompt, answer)
