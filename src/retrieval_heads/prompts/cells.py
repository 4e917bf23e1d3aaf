"""Cells and prompts of needle tests: what was placed where, in token positions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass


class PlacementError(ValueError):
    """A cell that cannot be built; the message names the config key, the value and the remedy."""


@dataclass(frozen=True)
class Cell:
    """One needle at one depth of one haystack, cut to one length. All positions are token positions in the prompt."""

    needle: str
    haystack: str
    length: int
    depth: int
    needle_start: int
    needle_end: int
    answer_start: int
    answer_end: int
    question_start: int
    prompt_tokens: int

    @property
    def name(self) -> str:
        """The cell as a file name."""
        return f"{self.needle}_{self.length}_{self.depth}"


@dataclass(frozen=True)
class Prompt:
    """A cell with its token ids, as the model reads them."""

    ids: tuple[int, ...]
    cell: Cell

    def key(self, depends_on: str) -> str:
        """What a finished cell is kept by: SHA-256 of tokens, answer span and `depends_on` (model, settings, code)."""
        text = json.dumps([list(self.ids), self.cell.answer_start, self.cell.answer_end, depends_on])
        return hashlib.sha256(text.encode()).hexdigest()
