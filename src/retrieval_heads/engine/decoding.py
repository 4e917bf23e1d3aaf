"""Greedy decoding of many rows that checks guesses of several tokens in one forward call.

The result is that of plain greedy decoding, in fewer calls: speculative decoding
(https://arxiv.org/abs/2211.17192) with the prompt as the draft. Rows that have ended make room for those that wait.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from weakref import WeakKeyDictionary

from transformers.cache_utils import Cache

from retrieval_heads.engine.batched_decoding import Rows
from retrieval_heads.engine.lookup import DRAFT_TOKENS, Guesser, Passages
from retrieval_heads.engine.prefill import common_prefix
from retrieval_heads.engine.shared_prefix import RowListener
from retrieval_heads.models.loading import Loaded

# Tokens that a call takes in about twice the time of one, for it is the reading of the weights that takes time; by
# device. In small models a call takes as long as so many parameters of every layer, whatever the tokens.
FREE_TOKENS = {"cpu": 8, "cuda": 256}
LAYER_OVERHEAD = 10**7
# Tokens of a call beyond which no guesses are added: their logits are held at once.
MOST_TOKENS = 512
_newlines: WeakKeyDictionary[Any, frozenset[int]] = WeakKeyDictionary()
# (emitted token, those before it) -> whether a row ends with it.
Ends = Callable[[int, Sequence[int]], bool]
Masking = Callable[[], AbstractContextManager[Callable[[Sequence[int]], None] | None]]


class StopRule:
    """A row stops at an end token or at a newline behind some text; that token is kept.

    Newlines in front of the first text end nothing: many chat models begin with one.
    """

    def __init__(self, loaded: Loaded):
        self.tokenizer = loaded.tokenizer
        ends = loaded.model.generation_config.eos_token_id
        if ends is None:
            ends = loaded.tokenizer.eos_token_id
        self.ends = frozenset([ends] if isinstance(ends, int) else ends or ())
        self.stops = self.ends | newline_tokens(loaded.tokenizer)

    def __call__(self, token: int, before: Sequence[int] | None = None) -> bool:
        """Whether a row stops at `token`. before: what it emitted ahead of it; None where that is text."""
        if token not in self.stops or token in self.ends or before is None:
            return token in self.stops
        return "\n" in self.tokenizer.decode([token]).lstrip() or bool(self.text(list(before)))

    def text(self, ids: list[int]) -> str:
        """The response: its first line, without special tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip().split("\n")[0].strip()


def newline_tokens(tokenizer: Any) -> frozenset[int]:
    """Tokens whose text holds a newline, looked up once for each tokenizer."""
    if tokenizer not in _newlines:
        texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        _newlines[tokenizer] = frozenset(token for token, text in enumerate(texts) if "\n" in text)
    return _newlines[tokenizer]


@dataclass(frozen=True)
class Start:
    """A row that waits. cache: of the prompt's first tokens. fed: the rest, at least one. passages: of the prompt.

    draft: what it is expected to emit, where nothing is known of its question. mask: number of its mask. question: name
    of what is asked; rows of one question, under one mask, are expected to answer alike. None: it stands alone.
    """

    cache: Cache
    fed: tuple[int, ...]
    passages: Passages
    draft: tuple[int, ...] = ()
    mask: int = 0
    question: Hashable = None
    listeners: Sequence[RowListener] = ()


class Drafts:
    """What rows may begin with: the response given last to their question, as responses to one needle are alike."""

    def __init__(self):
        self._known: dict[Hashable, tuple[tuple[int, ...], int]] = {}

    def of(self, start: Start) -> tuple[tuple[int, ...], int]:
        """The draft of a row, and how many of its tokens are tried at once."""
        return self._known.get(start.question, (start.draft, DRAFT_TOKENS))

    def learn(self, question: Hashable, draft: Sequence[int], emitted: Sequence[int]) -> None:
        """Take note of a response, and of how far it went along with its draft."""
        if question is not None:
            true = common_prefix(draft, emitted)
            trusted = question not in self._known or true == len(draft)
            self._known[question] = (tuple(emitted), DRAFT_TOKENS if trusted else min(DRAFT_TOKENS, true))


class _Row:
    """A row that runs. place: its number among those that have begun."""

    def __init__(self, place: int, start: Start, drafts: Drafts):
        self.place, self.start = place, start
        self.draft, self.tried = drafts.of(start)
        self.emitted: list[int] = []
        self.guesser = Guesser(start.passages)
        self.fed: Sequence[int] = start.fed
        self.ended = False

    def guess(self, free: int, most: int) -> list[int]:
        """What comes next in the draft as long as the row goes along with it, else what is looked up."""
        there = len(self.emitted)
        follows = there < len(self.draft) and self.emitted == list(self.draft[:there])
        end = max(self.tried, there + max(free, there // 2))
        guess = list(self.draft[there:end]) if follows else self.guesser.guess(free)
        return guess[: max(0, most)]

    def take(self, tokens: list[int]) -> None:
        self.emitted += tokens
        self.guesser.add(tokens)
        self.fed = tokens[-1:]


def confirmed(
    predicted: Sequence[int], guess: Sequence[int], ends: Ends, before: Sequence[int] = ()
) -> tuple[list[int], bool]:
    """What greedy decoding emits, as far as one forward call over a guess tells, and whether the row ends with it.

    predicted: the token after the one that was fed and after each guessed one. before: what was emitted ahead of them.
    The result goes up to an end, the first token that was guessed wrong, or the one behind the whole guess.
    """
    emitted: list[int] = []
    for token, guessed in zip(predicted, [*guess, None], strict=True):
        emitted.append(token)
        if ends(token, [*before, *emitted[:-1]]):
            return emitted, True
        if token != guessed:
            break
    return emitted, False


def stream_rows(
    loaded: Loaded,
    more: Callable[[int], Sequence[Start]],
    ends: Ends,
    *,
    size: int,
    max_new_tokens: int,
    drafts: Drafts | None = None,
    masking: Masking = nullcontext,
) -> Iterator[tuple[int, list[int]]]:
    """Yield every row as it ends: its number in the order in which they began, and its emitted ids, end included.

    more: told how many rows there is room for, the next ones, none when none waits or may begin before another ends;
    rows that share a cache should come together. size: rows that run side by side. drafts: of rows before. masking:
    makes what is told the mask of every token before each call (`masking.masks.masked_tokens`).
    """
    rows, running, begun, drafts = Rows(loaded), [], 0, drafts or Drafts()
    while True:
        # Outside of what masks and attends: a row may be prefilled when its turn comes.
        new = [_Row(begun + number, start, drafts) for number, start in enumerate(more(size - len(running)))]
        for _, alike in groupby(new, key=lambda row: (id(row.start.cache), id(row.start.listeners))):
            first, *others = alike
            rows.add(first.start.cache, 1 + len(others), first.start.listeners)
        begun, running = begun + len(new), running + new
        if not running:
            return
        # Masks are put around the attention of the rows, and not within it.
        with rows.attending(), masking() as choose:
            while not any(row.ended for row in running):
                _step(rows, running, ends, max_new_tokens, choose)
        for row in running:
            if row.ended:
                drafts.learn(row.start.question, row.draft, row.emitted)
                yield row.place, row.emitted
        going = [number for number, row in enumerate(running) if not row.ended]
        running = [running[number] for number in going]
        rows.keep(going)


def free_tokens(loaded: Loaded) -> int:
    """Tokens of a call that cost little more than one."""
    overhead = LAYER_OVERHEAD * loaded.info.layers // loaded.info.parameters
    return FREE_TOKENS.get(loaded.model.device.type, 0) + overhead


def _step(rows: Rows, running: list[_Row], ends: Ends, max_new_tokens: int, choose) -> None:
    """One forward call: every row emits a token, and as many more as it guessed right."""
    free = max(0, free_tokens(rows.loaded) // len(running) - 1)
    most = max(0, MOST_TOKENS - sum(len(row.fed) for row in running)) // len(running)
    guesses = [row.guess(free, min(most, max_new_tokens - len(row.emitted) - 1)) for row in running]
    ids = [[*row.fed, *guess] for row, guess in zip(running, guesses, strict=True)]
    if choose is not None:
        choose([row.start.mask for row, own in zip(running, ids, strict=True) for _ in own])
    predicted = rows.feed(ids).argmax(-1).split([len(own) for own in ids])
    for number, (row, guess, tokens) in enumerate(zip(running, guesses, predicted, strict=True)):
        after = tokens[len(tokens) - len(guess) - 1 :].tolist()
        new, ended = confirmed(after, guess, ends, row.emitted)
        rows.take_back(number, len(after) - len(new))
        row.take(new)
        row.ended = ended or len(row.emitted) == max_new_tokens
