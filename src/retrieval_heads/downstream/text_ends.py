"""When a response has ended: at an end token, or when its text holds a stop string."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from retrieval_heads.downstream.opened_lm import OpenedLM

# Tokens in front of those that a stop string may span: a tokenizer may read the first one of a text otherwise.
SPARE = 4


class TextEnds:
    """Whether a row ends with a token. ends: end tokens. until: stop strings."""

    def __init__(self, lm: OpenedLM, ends: Collection[int], until: Sequence[str]):
        self.lm, self.ends, self.until = lm, ends, tuple(until)
        # A token holds a byte or more.
        self.reach = SPARE + max((len(stop.encode()) for stop in until), default=0)

    def __call__(self, token: int, before: Sequence[int]) -> bool:
        """Whether the row ends at `token`, behind the tokens `before`."""
        if token in self.ends:
            return True
        if not self.until:
            return False
        text = self.lm.tok_decode([*before[-self.reach :], token])
        return any(stop in text for stop in self.until)
