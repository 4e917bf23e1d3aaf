"""Prompts under head sets that share a prefill, as rows of one batch: which row begins when, and what each emitted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from transformers.cache_utils import Cache

from retrieval_heads.engine.decoding import Start
from retrieval_heads.engine.lookup import Passages
from retrieval_heads.engine.prefill import PrefixCache, fits
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models.out_of_memory import shortage_named
from retrieval_heads.models.usage import seconds_now
from retrieval_heads.prompts.cells import Prompt


@dataclass
class Asked:
    """A prompt that is asked under head sets.

    seconds: wall time so far, its share of what was computed for several prompts. found: name of a head set -> emitted
    ids, as far as they are known. cache: of all tokens but the last, and passages of the prompt, where rows share them.
    """

    prompt: Prompt
    prefilled: int = 0
    seconds: float = 0.0
    found: dict[str, list[int]] = field(default_factory=dict)
    cache: Cache | None = None
    passages: Passages | None = None


def fill(prefix: PrefixCache, prompt: Prompt, following: Prompt | None = None) -> Asked:
    """Prefill all tokens of a prompt but the last, which begins its rows and is counted too.

    following: the prompt after it, for caches that must know where to be cut.
    """
    started, after = seconds_now(prefix.loaded), following.ids if following else ()
    tokens = prefix.prefill(prompt.ids[:-1], after[:-1], len(prompt.ids), len(after)) + 1
    return Asked(prompt, tokens, seconds_now(prefix.loaded) - started)


def unmasked(head_sets: Mapping[str, HeadMask | None]) -> list[str]:
    """Names under which no head is masked."""
    return [name for name, mask in head_sets.items() if mask is None or not mask.heads]


class Waiting:
    """Prompts x head sets that are to be rows, `size` or fewer at a time.

    A prompt is prefilled when there is room. Its unmasked row comes first, beside masked rows of the prompts before:
    under most head sets the response is the unmasked one, or begins as it does.
    """

    def __init__(
        self, prefix: PrefixCache, prompts: Sequence[Prompt], head_sets: Mapping[str, HeadMask | None], size: int
    ):
        self.prefix, self.size, self.left = prefix, size, deque(prompts)
        self.longest = max(len(prompt.ids) for prompt in prompts)
        self.numbers = {name: number for number, name in enumerate(head_sets)}
        self.first_names = unmasked(head_sets) or list(head_sets)
        self.running: list[Asked] = []
        # Rows that may begin: each prompt's first ones, and those behind them.
        self.first_rows: deque[tuple[Asked, str, Start]] = deque()
        self.later_rows: deque[tuple[Asked, str, Start]] = deque()
        self.begun: list[tuple[Asked, str]] = []
        self.since = 0.0

    def more(self, free: int) -> list[Start]:
        """The rows that begin next, at most `free`."""
        while self.left and self._room():
            self._begin(self.left.popleft())
        ready = len(self.first_rows) + len(self.later_rows)
        taken = [(self.first_rows or self.later_rows).popleft() for _ in range(min(free, ready))]
        self.begun += [(asked, name) for asked, name, _ in taken]
        self.since = seconds_now(self.prefix.loaded)
        return [start for *_, start in taken]

    def end(self, number: int, emitted: list[int]) -> Asked | None:
        """Take the ids of the row that began as the `number`th; its prompt if that was the last of its rows."""
        now = seconds_now(self.prefix.loaded)
        for asked in self.running:
            asked.seconds += (now - self.since) / len(self.running)
        self.since = now
        asked, name = self.begun[number]
        if not asked.found:
            later = [other for other in self.numbers if other not in self.first_names]
            self.later_rows += self._rows(asked, later, emitted)
        asked.found[name] = emitted
        if len(asked.found) < len(self.numbers):
            return None
        self.running.remove(asked)
        # `begun` goes on holding it.
        asked.cache = asked.passages = None
        return asked

    def _room(self) -> bool:
        running = [asked.prompt for asked in self.running]
        return len(running) < self.size and fits(self.left[0], running, self.longest)

    def _begin(self, prompt: Prompt) -> None:
        """Prefill a prompt. Where others run and memory runs out, fewer can; alone it needs too much."""
        with nullcontext() if self.running else shortage_named("the prefill of a prompt", "masked.lengths"):
            asked = fill(self.prefix, prompt)
        cell = prompt.cell
        asked.cache = self.prefix.kept()
        asked.passages = Passages(prompt.ids, (cell.needle_start, cell.needle_end))
        self.running.append(asked)
        self.first_rows += self._rows(asked, self.first_names, ())

    def _rows(self, asked: Asked, names: Sequence[str], draft: Sequence[int]) -> list[tuple[Asked, str, Start]]:
        """Rows of one prompt. draft: what they are expected to emit, where nothing is known of the needle."""
        shared = (asked.cache, asked.prompt.ids[-1:], asked.passages, tuple(draft))
        needle = asked.prompt.cell.needle
        return [(asked, name, Start(*shared, self.numbers[name], (needle, name))) for name in names]
