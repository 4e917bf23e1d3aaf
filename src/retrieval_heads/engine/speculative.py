"""Greedy decoding of many rows that checks guesses of several tokens in one forward call.

The result is that of plain greedy decoding, in fewer calls: speculative decoding
(https://arxiv.org/abs/2211.17192) with the prompt as the draft. Rows that have ended make room for those that wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby, islice

from transformers.cache_utils import Cache

from retrieval_heads.engine.batched_decoding import Rows
from retrieval_heads.engine.lookup import DRAFT_TOKENS, Guesser, Passages
from retrieval_heads.engine.shared_prefix import RowListener
from retrieval_heads.models.loading import Loaded

# Tokens that a call takes in about twice the time of one, for it is the reading of the weights that takes time; by
# device. In small models a call takes as long as so many parameters of every layer, whatever the tokens.
FREE_TOKENS = {"cpu": 8, "cuda": 256}
LAYER_OVERHEAD = 10**7
# Tokens of a call beyond which no guesses are added: their logits are held at once.
MOST_TOKENS = 512
# (emitted token, those before it) -> whether a row ends with it.
Ends = Callable[[int, Sequence[int]], bool]
Masking = Callable[[], AbstractContextManager[Callable[[Sequence[int]], None] | None]]


@dataclass(frozen=True)
class Start:
    """A row that waits. cache: of the prompt's first tokens. fed: the rest, at least one. passages: of the prompt.

    draft: what it may begin with. mask: number of its mask.
    """

    cache: Cache
    fed: tuple[int, ...]
    passages: Passages
    draft: tuple[int, ...] = ()
    mask: int = 0
    listeners: Sequence[RowListener] = ()


class Opening:
    """How much of a draft is tried at once: as much as came true of late, and twice as much where all of it did."""

    tokens = 1

    def learn(self, draft: Sequence[int], tried: int, emitted: Sequence[int]) -> None:
        """Take note of what was emitted where so many tokens of a draft were tried."""
        pairs = zip(draft, emitted, strict=False)
        true = next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(draft), len(emitted)))
        self.tokens = true if true < tried else min(DRAFT_TOKENS, max(self.tokens, 2 * tried, true))


class _Row:
    """A row that runs. place: its number among those that have begun."""

    def __init__(self, place: int, start: Start):
        self.place, self.start = place, start
        self.emitted: list[int] = []
        self.guesser = Guesser(start.passages)
        self.fed: Sequence[int] = start.fed
        self.ended = False

    def guess(self, opening: Opening, free: int, most: int) -> list[int]:
        guess = self.guesser.guess(free) if self.emitted else list(self.start.draft[: max(free, opening.tokens)])
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


def greedy_rows(
    loaded: Loaded,
    waiting: Sequence[Start],
    ends: Ends,
    *,
    size: int,
    max_new_tokens: int,
    opening: Opening | None = None,
    masking: Masking = nullcontext,
) -> list[list[int]]:
    """Emitted ids of every row, the one that ended it included. Arguments: see `stream_rows`, which makes them."""
    left = iter(waiting)
    found: list[list[int]] = [[] for _ in waiting]
    options = {"size": size, "max_new_tokens": max_new_tokens, "opening": opening, "masking": masking}
    for place, emitted in stream_rows(loaded, lambda free: list(islice(left, free)), ends, **options):
        found[place] = emitted
    return found


def stream_rows(
    loaded: Loaded,
    more: Callable[[int], Sequence[Start]],
    ends: Ends,
    *,
    size: int,
    max_new_tokens: int,
    opening: Opening | None = None,
    masking: Masking = nullcontext,
) -> Iterator[tuple[int, list[int]]]:
    """Yield every row as it ends: its number in the order in which they began, and its emitted ids, end included.

    more: told how many rows there is room for, the next ones, none when none waits or may begin before another ends;
    rows that share a cache should come together. size: rows that run side by side. opening: what was learnt of drafts
    before. masking: makes what is told the mask of every token before each call (`masking.masks.masked_tokens`).
    """
    rows, running, begun, opening = Rows(loaded), [], 0, opening or Opening()
    while True:
        # Outside of what masks and attends: a row may be prefilled when its turn comes.
        new = [_Row(begun + number, start) for number, start in enumerate(more(size - len(running)))]
        for _, alike in groupby(new, key=lambda row: (id(row.start.cache), id(row.start.listeners))):
            first, *others = alike
            rows.add(first.start.cache, 1 + len(others), first.start.listeners)
        begun, running = begun + len(new), running + new
        if not running:
            return
        # Masks are put around the attention of the rows, and not within it.
        with rows.attending(), masking() as choose:
            while not any(row.ended for row in running):
                _step(rows, running, ends, opening, max_new_tokens, choose)
        yield from ((row.place, row.emitted) for row in running if row.ended)
        going = [number for number, row in enumerate(running) if not row.ended]
        running = [running[number] for number in going]
        rows.keep(going)


def free_tokens(loaded: Loaded) -> int:
    """Tokens of a call that cost little more than one."""
    overhead = LAYER_OVERHEAD * loaded.info.layers // loaded.info.parameters
    return FREE_TOKENS.get(loaded.model.device.type, 0) + overhead


def _step(rows: Rows, running: list[_Row], ends: Ends, opening: Opening, max_new_tokens: int, choose) -> None:
    """One forward call: every row emits a token, and as many more as it guessed right."""
    free = max(0, free_tokens(rows.loaded) // len(running) - 1)
    most = max(0, MOST_TOKENS - sum(len(row.fed) for row in running)) // len(running)
    guesses = [row.guess(opening, free, min(most, max_new_tokens - len(row.emitted) - 1)) for row in running]
    ids = [[*row.fed, *guess] for row, guess in zip(running, guesses, strict=True)]
    if choose is not None:
        choose([row.start.mask for row, own in zip(running, ids, strict=True) for _ in own])
    predicted = rows.feed(ids).argmax(-1).split([len(own) for own in ids])
    for number, (row, guess, tokens) in enumerate(zip(running, guesses, predicted, strict=True)):
        after = tokens[len(tokens) - len(guess) - 1 :].tolist()
        new, ended = confirmed(after, guess, ends, row.emitted)
        rows.take_back(number, len(after) - len(new))
        if not row.emitted:
            opening.learn(row.start.draft, 0 if ended else len(guess), new)
        row.take(new)
        row.ended = ended or len(row.emitted) == max_new_tokens
