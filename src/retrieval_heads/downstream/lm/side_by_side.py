"""Prompts and head sets as rows of one batch, each token under its row's mask (`engine.batched_decoding`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import groupby

import torch
from transformers.cache_utils import Cache

from retrieval_heads.downstream.lm.opened import OpenedLM
from retrieval_heads.downstream.lm.padded_batches import TOGETHER
from retrieval_heads.engine.attention.cached import joins
from retrieval_heads.engine.batched_decoding import Rows
from retrieval_heads.engine.decoding import Start, stream_rows
from retrieval_heads.engine.lookup import Passages
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.masking.masks import HeadMask, Masks, Means, masked_throughout, masked_tokens
from retrieval_heads.models.loading import Loaded

# Rows that run side by side for each prompt of a batch: head sets of the same prompt, and of others as rows end.
ROWS_EACH = 4
# Tokens of continuations that are fed at once: their logits are held in float32.
WEIGHED = 512
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


class SideBySide:
    """Answers of a model whose rows can be continued side by side. ends: end tokens.

    tokens: those that went through the model so far.
    """

    def __init__(self, loaded: Loaded, lm: OpenedLM, ends: Collection[int], means: Means):
        self.loaded, self.lm, self.ends, self.means = loaded, lm, ends, means
        self.tokens = 0

    def serves(self, prompt: Sequence[int], reached: Sequence[int]) -> bool:
        """Whether a prompt's head sets can be rows side by side. reached: lengths that its sequences have meanwhile."""
        return len(prompt) > 1 and len(set(map(self.loaded.info.rotary.choice, reached))) == 1 and joins(self.loaded)

    def answer(
        self, prompts: Sequence[Sequence[int]], masks: Masks, until: Sequence[str], max_new_tokens: int, batch: int
    ) -> Iterator[tuple[int, dict[str, list[int]]]]:
        """Yield every prompt as it is done: its place, and its emitted ids under each head set.

        batch: prompts whose rows run at a time. A prompt begins when there is room, whatever the others are doing.
        """
        ends, sharing = TextEnds(self.lm, self.ends, until), _sharing(masks)
        places = range(len(prompts))
        # A prompt that is prefilled more than once, under masks of scope `all`, waits for the others of its batch.
        step = len(prompts) if len(sharing) == 1 else batch
        for part in (places[start : start + step] for start in range(0, len(prompts), step)):
            found: dict[int, dict[str, list[int]]] = {place: {} for place in part}
            for names in sharing:
                waiting = _Waiting(part, prompts, names, batch, self._prefills(prompts, part, masks[names[0]]))
                masking = partial(masked_tokens, self.loaded, [masks[name] for name in names], self.means)
                options = {"size": ROWS_EACH * batch, "max_new_tokens": max_new_tokens, "masking": masking}
                for number, emitted in stream_rows(self.loaded, waiting.more, ends, **options):
                    place, name = waiting.end(number)
                    found[place][name] = emitted
                    self.tokens += len(emitted)
                    if len(found[place]) == len(masks):
                        yield place, found.pop(place)

    def _prefills(self, prompts: Sequence[Sequence[int]], places: Sequence[int], mask: HeadMask) -> Iterator[Cache]:
        """The cache of all tokens but the last of each prompt; what a prompt shares with the one before is kept."""
        prefix = PrefixCache(self.loaded)
        for row in (prompts[place] for place in places):
            with nullcontext() if mask.shares_prefill else masked_throughout(self.loaded, mask, self.means):
                self.tokens += prefix.prefill(row[:-1], whole=len(row)) + 1
            yield prefix.kept()

    def weigh(self, pairs, masks: Masks) -> dict[str, list[tuple[float, bool]]]:
        """All continuations of one context under all head sets are rows of one batch."""
        found: dict[str, list[tuple[float, bool]]] = {name: [] for name in masks}
        contexts = [(context, [pair[1] for pair in own]) for context, own in groupby(pairs, key=lambda pair: pair[0])]
        for names in _sharing(masks):
            prompts = [context for context, _ in contexts]
            caches = self._prefills(prompts, range(len(prompts)), masks[names[0]])
            for (context, continuations), cache in zip(contexts, caches, strict=True):
                weighed = self._weighed_rows(cache, context[-1], continuations, [masks[name] for name in names])
                for number, name in enumerate(names):
                    found[name] += weighed[number :: len(names)]
        return found

    def _weighed_rows(self, cache: Cache, last: int, continuations, masks: Sequence[HeadMask]):
        """Log-likelihood of every continuation under each mask in turn, and if it is greedy; `last`: the context's.

        No more tokens are fed at once than `WEIGHED`, but for a row that has more.
        """
        asked, found = [(own, number) for own in continuations for number in range(len(masks))], []
        step = max(1, WEIGHED // max(map(len, continuations)))
        for part in (asked[start : start + step] for start in range(0, len(asked), step)):
            rows = Rows(self.loaded)
            rows.add(cache, len(part))
            with rows.attending(), masked_tokens(self.loaded, masks, self.means) as choose:
                choose([number for own, number in part for _ in own])
                logits = rows.feed([[last, *own[:-1]] for own, _ in part])
            wanted = torch.tensor([token for own, _ in part for token in own], device=logits.device)
            widths = [len(own) for own, _ in part]
            right = (logits.argmax(-1) == wanted).split(widths)
            likely = logits.float().log_softmax(-1).gather(1, wanted[:, None])[:, 0].split(widths)
            found += [(float(one.sum()), bool(all_right.all())) for one, all_right in zip(likely, right, strict=True)]
            self.tokens += len(wanted)
        return found


class _Waiting:
    """Prompts x head sets that are to be rows; a prompt is prefilled when its first row begins.

    places: of the prompts that wait. batch: prompts that may run at a time, if they hold no more than `TOGETHER`
    tokens. caches: of the prompts, one after the other.
    """

    def __init__(self, places, prompts, names: Sequence[str], batch: int, caches: Iterator[Cache]):
        self.prompts, self.names, self.batch, self.caches = prompts, names, batch, caches
        self.left = list(places)[::-1]
        self.begun: list[tuple[int, str]] = []
        self.next: list[tuple[tuple[int, str], Start]] = []
        self.running: Counter[int] = Counter()

    def more(self, free: int) -> list[Start]:
        """The next rows, at most `free`."""
        while len(self.next) < free and self.left and self._room(self.left[-1]):
            self._begin(self.left.pop())
        taken, self.next = self.next[:free], self.next[free:]
        self.begun += [named for named, _ in taken]
        return [start for _, start in taken]

    def _room(self, place: int) -> bool:
        held = sum(len(self.prompts[other]) for other in self.running)
        fits = len(self.running) < self.batch and held + len(self.prompts[place]) <= TOGETHER
        return fits or not self.running

    def _begin(self, place: int) -> None:
        ids, cache = self.prompts[place], next(self.caches)
        passages = Passages(ids)
        starts = [Start(cache, tuple(ids[-1:]), passages, mask=number) for number in range(len(self.names))]
        self.next += zip([(place, name) for name in self.names], starts, strict=True)
        self.running[place] = len(starts)

    def end(self, number: int) -> tuple[int, str]:
        """Place and head set of the row that began as the `number`th, which has ended."""
        place, name = self.begun[number]
        self.running[place] -= 1
        if not self.running[place]:
            del self.running[place]
        return place, name


def _sharing(masks: Masks) -> list[list[str]]:
    """Names of head sets that share a prefill, the unmasked run among them, and alone of each that cannot."""
    shared = [name for name, mask in masks.items() if mask.shares_prefill]
    return [*([shared] if shared else []), *([name] for name in masks if name not in shared)]
