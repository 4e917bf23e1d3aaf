"""One GPU job of a study in numbers, and whether it can run."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval_heads.costs.layers import CostError
from retrieval_heads.costs.memory import Memory, job_memory, joins, side_by_side
from retrieval_heads.costs.resources import cards_needed
from retrieval_heads.costs.shape import Shape

# Jobs run on one node.
NODE_CARDS = 8


@dataclass(frozen=True)
class Job:
    """One GPU job. sets: head sets asked about every cell, the unmasked run among them; 1 for detection.

    own_prefill: each set prefills for itself (scope `all`). shares: prompts over one haystack share what stands
    in front of the needle; if not, each has a text of its own. prompts: of each cell, alike but
    for the needle (patched runs: 2). keep_weights: see `job_memory`. limit: cards that the config allows, None for one
    node's.
    """

    model: str
    rule: str
    shape: Shape
    dtype: str
    quantization: str | None
    needles: int
    haystacks: int
    lengths: tuple[int, ...]
    depths: tuple[int, ...]
    reserve_tokens: int
    max_new_tokens: int
    window: int | None
    limit: int | None = None
    sets: int = 1
    batch: int = 1
    own_prefill: bool = False
    shares: bool = True
    prompts: int = 1
    keep_weights: bool = False
    columns: int = 0

    @property
    def cells(self) -> int:
        """Cells of its grid."""
        return self.needles * len(self.lengths) * len(self.depths)

    @property
    def rows(self) -> int:
        """Head sets that are decoded side by side."""
        return self.rows_at(max(self.lengths))

    def rows_at(self, length: int) -> int:
        """The same at one length: short prompts are asked together, each under all head sets."""
        prompts = side_by_side(length) if self.kind == "masked" and joins(self.shape) and self.sets > 1 else 1
        return min(self.sets * prompts, self.batch)

    @property
    def kind(self) -> str:
        """What it does, as its memory follows from it (costs.memory)."""
        if self.rule.startswith("detect"):
            return "detection"
        return "masked_all" if self.own_prefill else "masked"

    def memory(self, longest: int) -> Memory:
        """Bytes at a longest prompt of `longest` tokens; more of its shorter ones may be held side by side."""
        lengths = {min(length, longest) for length in self.lengths}
        options = {"kind": self.kind, "new_tokens": self.max_new_tokens}
        options |= {"prompts": self.prompts, "keep_weights": self.keep_weights}
        memories = [
            job_memory(self.shape, self.dtype, self.quantization, length, self.rows_at(length), **options)
            for length in lengths
        ]
        return max(memories, key=lambda memory: memory.total)


def refusal(job: Job) -> str:
    """Why a job cannot run, with the length that would; empty when it can."""
    longest, allowed = max(job.lengths), job.limit or NODE_CARDS
    fitting = longest_fitting(job, allowed)
    if longest <= fitting:
        return ""
    if fitting == 0:
        return f"no length fits on {allowed} cards of 80 GB: give models.{job.model}.quantization or more gpus"
    where = "its window" if fitting == job.window else f"{allowed} cards of 80 GB"
    return f"{longest} tokens do not fit into {where}; {fitting} would"


def longest_fitting(job: Job, cards: int) -> int:
    """Tokens of the longest prompt that fits into the window and on so many cards; 0 when none does."""
    low, high = 0, min(max(job.lengths), job.window or max(job.lengths))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _fits(job, middle, cards) else (low, middle - 1)
    return low


def _fits(job: Job, tokens: int, cards: int) -> bool:
    try:
        return cards_needed(job.memory(tokens), len(job.shape.layers)) <= cards
    except CostError:
        return False
