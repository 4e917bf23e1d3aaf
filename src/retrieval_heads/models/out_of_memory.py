"""Where memory runs out: half as many rows and on, or an error that names the key to lower."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

logger = logging.getLogger(__name__)
REMEDY = "give the model more cards (models.<name>.gpus) or models.<name>.quantization, or lower"


Row, Result = TypeVar("Row"), TypeVar("Result")


class MemoryShortage(ValueError):
    """Memory that ran out and cannot be had by smaller batches; the message names the keys."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: on a card, or on the CPU, where torch has no class of errors for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


@contextmanager
def shortage_named(what: str, key: str) -> Iterator[None]:
    """Inside the block an allocation that fails is a `MemoryShortage`. what: was computed. key: of the config."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryShortage(f"memory ran out in {what} ({_first_line(error)}): {REMEDY} {key}") from None


class Halving:
    """Works on many rows at once, and where memory runs out on half as many, from then on.

    what: the rows, for messages. key: of the config that says how many there are, or how large they are.
    """

    def __init__(self, what: str, key: str):
        self.what, self.key = what, key
        self.limit: int | None = None

    def __call__(self, rows: Sequence[Row], work: Callable[[Sequence[Row]], list[Result]]) -> list[Result]:
        """The results of all rows in their order. work: gives one result for each of the rows that it gets."""
        results: list[Result] = []
        while len(results) < len(rows):
            part = rows[len(results) :][: self.limit or len(rows)]
            results += self._attempt(len(part), partial(work, part))
        return results

    def streamed(self, size: int, work: Callable[[int], Iterator[Result]]) -> Iterator[Result]:
        """Yield results as they come. work: told how many rows may be side by side; it is called anew with half, and
        then goes on with what it has not yielded."""
        size, results, done = min(size, self.limit or size), None, object()
        while True:
            results = results or work(size)
            got = self._attempt(size, partial(lambda steps: [next(steps, done)], results))
            if got == [done]:
                return
            if got:
                yield got[0]
            else:
                size, results = self.limit, None

    def _attempt(self, size: int, work: Callable[[], list]) -> list:
        """The results of some rows, none where memory ran out; raises `MemoryShortage` when it is a single row."""
        try:
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                with shortage_named(f"one of the {self.what}", self.key):
                    raise
            told = _first_line(error)
        # Only here: as long as the error is at hand, its frames hold what they had allocated.
        self.limit = size // 2
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning(
            "Memory ran out with %d %s side by side (%s); it goes on with %d. A lower %s saves the attempt",
            *(size, self.what, told, self.limit, self.key),
        )
        return []


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0][:200]
