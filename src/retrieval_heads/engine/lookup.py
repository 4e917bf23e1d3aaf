"""Guesses of what a model writes next, looked up in its prompt and in what it has written: models restate and repeat.

Prompt lookup decoding (https://github.com/apoorvumang/prompt-lookup-decoding): what followed the last tokens where they
stood before. A guess is as long as the passage that has been followed so far, so that it grows with the evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

# Tokens in a row that must have stood before, outside the source of the answer; there one is enough.
PHRASE = 3
# The longest guess: logits of all its tokens are held at once.
DRAFT_TOKENS = 32


class Passages:
    """A prompt in which phrases are looked up. source: positions [start, end) where the answer stands, if it does."""

    def __init__(self, ids: Sequence[int], source: tuple[int, int] = (0, 0)):
        self.ids = tuple(ids)
        self.source = range(*source)
        self.behind = {self.ids[end - PHRASE : end]: end for end in range(PHRASE, len(self.ids))}


class Guesser:
    """What one row may write next. passages: of its prompt."""

    def __init__(self, passages: Passages):
        self.passages = passages
        self.text = list(passages.ids)
        self._behind: dict[tuple[int, ...], int] = {}

    def add(self, tokens: Sequence[int]) -> None:
        """Take note of what was written."""
        for token in tokens:
            written = len(self.text) - len(self.passages.ids)
            if written >= PHRASE:
                self._behind[tuple(self.text[-PHRASE:])] = len(self.text)
            self.text.append(token)

    def guess(self, least: int) -> list[int]:
        """The tokens that may come next; `least` or more where anything is known, for so many cost nothing."""
        place, followed = max((self._followed(place) for place in self._places()), key=_length, default=(0, 0))
        guess: list[int] = []
        for offset in range(min(DRAFT_TOKENS, max(least, followed)) if followed else 0):
            behind = place + offset - len(self.text)
            # A passage that runs into its own copy goes on with it.
            guess.append(guess[behind] if behind >= 0 else self.text[place + offset])
        return guess

    def _places(self) -> list[int]:
        """Positions behind earlier passages that end like the text."""
        if len(self.text) == len(self.passages.ids):
            return []
        ids, last = self.passages.ids, self.text[-1]
        found = [place + 1 for place in self.passages.source if ids[place] == last]
        if len(self.text) >= len(ids) + PHRASE:
            phrase = tuple(self.text[-PHRASE:])
            found += [known[phrase] for known in (self._behind, self.passages.behind) if phrase in known]
        return found

    def _followed(self, place: int) -> tuple[int, int]:
        """A position, and how many tokens in front of it are those that were written last."""
        most = min(DRAFT_TOKENS, len(self.text) - len(self.passages.ids), place)
        followed = 0
        while followed < most and self.text[place - 1 - followed] == self.text[-1 - followed]:
            followed += 1
        return place, followed


def _length(found: tuple[int, int]) -> int:
    return found[1]
