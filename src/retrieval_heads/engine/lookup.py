"""Guesses of what a model writes next, looked up in its prompt and in what was written behind it: models restate.

Prompt lookup decoding (https://github.com/apoorvumang/prompt-lookup-decoding): what followed the last tokens where they
stood before, in the prompt, in the row's own text, or in another row's behind the same prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

# Tokens in a row that must have stood before, outside the source of the answer; there one is enough.
PHRASE = 3
# The longest guess: logits of all its tokens are held at once.
DRAFT_TOKENS = 32


class Passages:
    """A prompt in which phrases are looked up, and what rows write behind it.

    source: positions [start, end) where the answer stands, if it does. behind: phrase -> the text in which it stood
    last, and the position behind it.
    """

    def __init__(self, ids: Sequence[int], source: tuple[int, int] = (0, 0)):
        self.ids = list(ids)
        self.source = range(*source)
        self.behind = {tuple(self.ids[end - PHRASE : end]): (self.ids, end) for end in range(PHRASE, len(self.ids))}


class Guesser:
    """What one row may write next. passages: of its prompt."""

    def __init__(self, passages: Passages):
        self.passages = passages
        self.text = list(passages.ids)
        self._own: dict[tuple[int, ...], int] = {}

    @property
    def written(self) -> int:
        """Tokens behind the prompt."""
        return len(self.text) - len(self.passages.ids)

    def add(self, tokens: Sequence[int]) -> None:
        """Take note of what was written."""
        for token in tokens:
            if self.written >= PHRASE:
                phrase = tuple(self.text[-PHRASE:])
                self._own[phrase] = len(self.text)
                self.passages.behind[phrase] = (self.text, len(self.text))
            self.text.append(token)

    def guess(self, least: int) -> list[int]:
        """The tokens that may come next: half as many as were followed so far, or `least`, for so many cost nothing."""
        followed, text, place = max(self._passages(), key=lambda found: found[0], default=(0, [], 0))
        guess: list[int] = []
        for position in range(place, place + min(DRAFT_TOKENS, max(least, followed // 2)) if followed else place):
            # A passage that runs into its own copy goes on with it.
            guess += text[position : position + 1] or (guess[position - len(text) :][:1] if text is self.text else [])
        return guess

    def _passages(self) -> list[tuple[int, list[int], int]]:
        """Earlier places: how many tokens in front of each are those that were written last, its text, the place."""
        if not self.written:
            return []
        ids, last = self.passages.ids, self.text[-1]
        found = [(ids, place + 1) for place in self.passages.source if ids[place] == last]
        if self.written >= PHRASE:
            phrase = tuple(self.text[-PHRASE:])
            found += [(self.text, self._own[phrase])] if phrase in self._own else []
            found += [self.passages.behind[phrase]] if phrase in self.passages.behind else []
        return [(self._followed(text, place), text, place) for text, place in found]

    def _followed(self, text: list[int], place: int) -> int:
        most, followed = min(2 * DRAFT_TOKENS, self.written, place), 0
        while followed < most and text[place - 1 - followed] == self.text[-1 - followed]:
            followed += 1
        return followed
