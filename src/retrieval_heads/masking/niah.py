"""Needle runs under head masks: one prefill of a cell serves the unmasked run and every head set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from transformers.cache_utils import DynamicCache

from retrieval_heads.engine.attention.cached import joins
from retrieval_heads.engine.decoding import Drafts, StopRule, stream_rows
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import PrefixCache, feed, order_prompts
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.single_steps import greedy, greedy_steps
from retrieval_heads.masking.masks import MODES, HeadMask, Means, masked, masked_tokens
from retrieval_heads.masking.side_by_side import Asked, Waiting, fill, unmasked
from retrieval_heads.models.loading import Loaded
from retrieval_heads.models.out_of_memory import Halving, shortage_named
from retrieval_heads.models.usage import seconds_now
from retrieval_heads.prompts.cells import Cell, Prompt

MaskOrNone = HeadMask | None
# Tokens that sets of scope `all` prefill side by side, where one prompt has fewer: enough to keep a card busy.
OWN_TOKENS = 8192


@dataclass(frozen=True)
class MaskedResult:
    """One cell under every head set. responses: name of the head set -> text. seconds: wall time of the cell.

    emitted_tokens: of all responses, stop tokens included.
    """

    cell: Cell
    responses: dict[str, str]
    prefilled_tokens: int
    seconds: float
    emitted_tokens: int


def run(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    head_sets: Mapping[str, MaskOrNone],
    *,
    max_new_tokens: int,
    decode_batch: int,
    means: Means = None,
) -> Iterator[MaskedResult]:
    """Yield one result per prompt as it is done; they begin in the order that shares most prefill.

    head_sets: name -> mask, None for the unmasked run. Sets are decoded together, `decode_batch` rows at a time.
    Sets of scope `decode` share the cell's prefill, and its cache as far as the model allows (docs/architectures.md);
    each set of scope `all` needs its own.
    """
    shared, own = _by_scope(head_sets)
    asking = _Asking(loaded, head_sets, max_new_tokens, decode_batch, means)
    for asked in asking.after_shared_prefills(order_prompts(prompts, loaded.info.rotary), shared):
        started, prompt = seconds_now(loaded), asked.prompt
        found = asked.found | asking.after_own_prefills(prompt, own)
        responses = {name: StopRule(loaded).text(found[name]) for name in head_sets}
        prefilled, emitted = asked.prefilled + len(own) * len(prompt.ids), sum(map(len, found.values()))
        yield MaskedResult(prompt.cell, responses, prefilled, asked.seconds + seconds_now(loaded) - started, emitted)


def own_rows(tokens: int, batch: int) -> int:
    """Head sets of scope `all` that prefill a prompt of so many tokens side by side, each with a cache of its own."""
    return max(1, min(batch, OWN_TOKENS // tokens))


class _Asking:
    """Prompts that are asked under head sets."""

    def __init__(
        self, loaded: Loaded, head_sets: Mapping[str, MaskOrNone], max_new_tokens: int, batch: int, means: Means
    ):
        self.loaded, self.head_sets, self.means = loaded, head_sets, means
        self.max_new_tokens, self.batch = max_new_tokens, batch
        self.prefix, self.drafts = PrefixCache(loaded), Drafts()
        self.in_halves = Halving("head sets", "masked.batch or masked.lengths")

    def after_shared_prefills(self, ordered: Sequence[Prompt], names: Sequence[str]) -> Iterator[Asked]:
        """Yield every prompt with its responses under these head sets; masks act from the last prompt token on."""
        head_sets = {name: self.head_sets[name] for name in names}
        if not names:
            yield from map(Asked, ordered)
        elif joins(self.loaded) and all(_settled(self.loaded, prompt, self.max_new_tokens) for prompt in ordered):
            for _, alike in groupby(ordered, key=lambda prompt: self.loaded.info.rotary.choice(len(prompt.ids))):
                left = list(alike)
                size = min(self.batch, len(left) * len(names))
                yield from self.in_halves.streamed(size, partial(self._side_by_side, left, head_sets))
        else:
            yield from self._one_by_one(ordered, head_sets)

    def _side_by_side(self, left: list[Prompt], head_sets: Mapping[str, MaskOrNone], size: int) -> Iterator[Asked]:
        """Rows of several prompts and head sets run side by side; a prompt is taken off the list `left` when done."""
        waiting = Waiting(self.prefix, left, head_sets, size)
        masking = partial(masked_tokens, self.loaded, list(head_sets.values()), self.means)
        options = {"size": size, "max_new_tokens": self.max_new_tokens, "drafts": self.drafts, "masking": masking}
        for number, emitted in stream_rows(self.loaded, waiting.more, StopRule(self.loaded), **options):
            asked = waiting.end(number, emitted)
            if asked:
                left.remove(asked.prompt)
                yield asked
                waiting.since = seconds_now(self.loaded)

    def _one_by_one(self, prompts: Sequence[Prompt], head_sets: Mapping[str, MaskOrNone]) -> Iterator[Asked]:
        """As `_side_by_side`, for models whose rows cannot run so."""
        for prompt, following in zip(prompts, [*prompts[1:], None], strict=True):
            with shortage_named("the prefill of a prompt", "masked.lengths"):
                asked = fill(self.prefix, prompt, following)
            started = seconds_now(self.loaded)
            asked.found = self._in_batches(prompt, head_sets)
            asked.seconds += seconds_now(self.loaded) - started
            yield asked

    def _in_batches(self, prompt: Prompt, head_sets: Mapping[str, MaskOrNone]) -> dict[str, list[int]]:
        """Name -> emitted ids of one prompt, from its cache."""
        rows = {}
        ask = partial(_from_shared_prefill, self.loaded, prompt, self.prefix, self.means, self.max_new_tokens)
        for batch in _batches(head_sets, self.batch):
            rows |= zip(batch, self.in_halves([self.head_sets[name] for name in batch], ask), strict=True)
        return rows

    def after_own_prefills(self, prompt: Prompt, names: Sequence[str]) -> dict[str, list[int]]:
        """Name -> emitted ids, each set with a prefill of its own."""
        rows = {}
        ask = partial(_from_own_prefill, self.loaded, prompt, self.means, self.max_new_tokens)
        for batch in _batches({name: self.head_sets[name] for name in names}, own_rows(len(prompt.ids), self.batch)):
            rows |= zip(batch, self.in_halves([self.head_sets[name] for name in batch], ask), strict=True)
        return rows


def _from_shared_prefill(loaded, prompt, prefix, means, max_new_tokens, masks) -> list[list[int]]:
    """Emitted ids of each mask's row, from the prompt's cache; masks act from the last prompt token on."""
    # Every token that is fed from here on is in scope, also where several pass at once.
    masks = [mask and replace(mask, scope="all") for mask in masks]
    if not _settled(loaded, prompt, max_new_tokens):
        return _by_whole_passes(loaded, prompt, prefix, masks, means, max_new_tokens)
    with branched(loaded, prefix.cache, len(masks)) as branch, masked(loaded, masks, means):
        return greedy(loaded, branch, prompt.ids[-1], rows=len(masks), max_new_tokens=max_new_tokens)


def _by_whole_passes(loaded, prompt, prefix, masks, means, max_new_tokens) -> list[list[int]]:
    """As `_from_shared_prefill`, each token from a pass over prompt and response so far."""

    def step(so_far):
        prefix.prefill(prompt.ids[:-1], prompt.ids[:-1], *[len(prompt.ids) + len(so_far[0])] * 2)
        with branched(loaded, prefix.cache, len(masks)) as branch, masked(loaded, masks, means):
            return forward(loaded, [[prompt.ids[-1], *row] for row in so_far], branch)

    return greedy_steps(loaded, step, rows=len(masks), max_new_tokens=max_new_tokens)


def _from_own_prefill(loaded, prompt, means, max_new_tokens, masks) -> list[list[int]]:
    """Emitted ids of each mask's row; masks act from the first token, so that nothing can be shared."""

    def step(so_far):
        rows, cache = [[*prompt.ids, *row] for row in so_far], DynamicCache(config=loaded.model.config)
        feed(loaded, cache, [row[:-1] for row in rows], len(rows[0]))
        return forward(loaded, [row[-1:] for row in rows], cache)

    with masked(loaded, masks, means):
        if not _settled(loaded, prompt, max_new_tokens):
            return greedy_steps(loaded, step, rows=len(masks), max_new_tokens=max_new_tokens)
        cache = DynamicCache(config=loaded.model.config)
        feed(loaded, cache, [prompt.ids[:-1]] * len(masks), len(prompt.ids))
        return greedy(loaded, cache, prompt.ids[-1], rows=len(masks), max_new_tokens=max_new_tokens)


def _settled(loaded: Loaded, prompt: Prompt, max_new_tokens: int) -> bool:
    """Whether the rotary frequencies stay the same while the model answers."""
    return loaded.info.rotary.same_frequencies(len(prompt.ids), len(prompt.ids) + max_new_tokens)


def _by_scope(head_sets: Mapping[str, MaskOrNone]) -> tuple[list[str], list[str]]:
    """Names of head sets that share a prefill, the unmasked run among them, and of those that cannot."""
    own = [name for name, mask in head_sets.items() if mask is not None and not mask.shares_prefill]
    return [name for name in head_sets if name not in own], own


def _batches(head_sets: Mapping[str, MaskOrNone], rows: int) -> list[Sequence[str]]:
    """Names of head sets of one scope that may be decoded together: of one mode; unmasked runs join the first."""
    kinds: dict[str, list[str]] = {}
    for name, mask in head_sets.items():
        if mask is not None and mask.heads:
            kinds.setdefault(mask.mode, []).append(name)
    first = next(iter(kinds), MODES[0])
    kinds[first] = unmasked(head_sets) + kinds.get(first, [])
    return [names[start : start + rows] for names in kinds.values() for start in range(0, len(names), rows)]
