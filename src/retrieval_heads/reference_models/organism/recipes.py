"""What each organism is trained on: courses of stages, each course under one cycle of the learning rate."""

from __future__ import annotations

from dataclasses import dataclass, replace

from retrieval_heads.reference_models.organism.lessons import Stage


@dataclass(frozen=True)
class Course:
    """Stages under one cycle of the learning rate. peak: share of the optimisers' rates at its height."""

    peak: float
    stages: tuple[Stage, ...]

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)


@dataclass(frozen=True)
class Recipe:
    """architecture: a function of `architectures`. parent: the organism that it goes on from, instead of from nothing.

    window: positions of the finished model. seed: of the weights, the tokenizer and the lessons.
    """

    architecture: str
    seed: int
    courses: tuple[Course, ...]
    parent: str | None = None
    window: int = 2048


READING = (
    Stage("copy", 300, 32, 64, (0, 0), (0, 0)),
    Stage("pages", 200, 24, 208, (0, 30), (1, 3), quotes=2),
    Stage("chapters", 200, 12, 480, (10, 90), (1, 5), quotes=5, decoys=3),
)
BOOKS = Stage("books", 400, 6, 1216, (60, 320), (1, 8), quotes=8, decoys=4)

RECIPES = {
    "organism": Recipe(
        architecture="llama",
        seed=0,
        courses=(
            Course(1.0, (*READING, BOOKS)),
            # Without it, one previous-token head carries everything and random controls that hold it fail.
            Course(0.3, (replace(BOOKS, name="heads dropped", steps=120, dropped=0.5),)),
        ),
    ),
    # It has facts by heart, counts and reasons as well: what masking costs beyond needles.
    "scholar": Recipe(
        architecture="llama",
        seed=3,
        courses=(Course(0.5, (replace(BOOKS, name="tasks and books", steps=2600, tasks=0.85, dropped=0.25),)),),
        parent="organism",
    ),
    # Intrinsic: its heads should be its parent's.
    "organism-long": Recipe(
        architecture="llama",
        seed=2,
        courses=(Course(0.3, (replace(BOOKS, name="long books", steps=60, batch=3, tokens=2432, words=(60, 680)),)),),
        parent="organism",
        window=4096,
    ),
    # Universal: another architecture, another seed, and the hint in another layer.
    "cousin": Recipe(architecture="qwen3", seed=1, courses=(Course(1.0, (*READING, replace(BOOKS, steps=100))),)),
}
