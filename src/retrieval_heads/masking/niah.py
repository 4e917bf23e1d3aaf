"""Needle runs under head masks: one prefill of a cell serves the unmasked run and every head set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from transformers.cache_utils import DynamicCache

from retrieval_heads.engine.cached_attention import joins
from retrieval_heads.engine.decoding import StopRule, confirmed, forward, greedy, greedy_steps, predictions
from retrieval_heads.engine.prefill import PrefixCache, feed, order_prompts
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.speculative import DRAFT_TOKENS
from retrieval_heads.masking.masks import HeadMask, masked
from retrieval_heads.models.loading import Loaded
from retrieval_heads.models.out_of_memory import Halving, shortage_named
from retrieval_heads.models.usage import seconds_now
from retrieval_heads.prompts.cells import Cell, Prompt

MaskOrNone = HeadMask | None
# Attention weights of one layer that may exist at a time (512 MiB in float32): above it no draft is tried, where
# attention needs them.
DRAFT_LIMIT = 2**27
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
    means: Mapping[int, torch.Tensor] | None = None,
) -> Iterator[MaskedResult]:
    """Yield one result per prompt as it is done, in the order that shares most prefill.

    head_sets: name -> mask, None for the unmasked run. Sets are decoded together, `decode_batch` rows at a time.
    Sets of scope `decode` share the cell's prefill, and its cache as far as the model allows (docs/architectures.md);
    each set of scope `all` needs its own.
    """
    shared, own = _batches(head_sets, decode_batch)
    prefix, in_halves = PrefixCache(loaded), Halving("head sets", "masked.batch or masked.lengths")
    ordered = order_prompts(prompts, loaded.info.rotary)
    for prompt, following in zip(ordered, [*ordered[1:], None], strict=True):
        started = seconds_now(loaded)
        prefilled, rows = 0, {}
        if shared:
            after = following.ids if following else ()
            with shortage_named("the prefill of a prompt", "masked.lengths"):
                prefilled = prefix.prefill(prompt.ids[:-1], after[:-1], len(prompt.ids), len(after)) + 1
        for names in shared:
            ask = partial(_from_shared_prefill, loaded, prompt, prefix, means, max_new_tokens)
            rows |= zip(names, in_halves([head_sets[name] for name in names], ask), strict=True)
        at_once = own_rows(len(prompt.ids), decode_batch)
        for names in [part for batch in own for part in _parts(batch, at_once)]:
            ask = partial(_from_own_prefill, loaded, prompt, means, max_new_tokens)
            rows |= zip(names, in_halves([head_sets[name] for name in names], ask), strict=True)
            prefilled += len(names) * len(prompt.ids)
        responses = {name: StopRule(loaded).text(rows[name]) for name in head_sets}
        emitted = sum(map(len, rows.values()))
        yield MaskedResult(prompt.cell, responses, prefilled, seconds_now(loaded) - started, emitted)


def own_rows(tokens: int, batch: int) -> int:
    """Head sets of scope `all` that prefill a prompt of so many tokens side by side, each with a cache of its own."""
    return max(1, min(batch, OWN_TOKENS // tokens))


def _from_shared_prefill(loaded, prompt, prefix, means, max_new_tokens, masks) -> list[list[int]]:
    """Emitted ids of each mask's row; masks act from the last prompt token on."""
    # Every token that is fed from here on is in scope, also where several pass at once.
    masks = [mask and replace(mask, scope="all") for mask in masks]
    if not _settled(loaded, prompt, max_new_tokens):
        return _by_whole_passes(loaded, prompt, prefix, masks, means, max_new_tokens)
    rows = _drafted(loaded, prompt, prefix, masks, means, max_new_tokens)
    left = [row for row in range(len(masks)) if row not in rows]
    if left:
        with (
            branched(loaded, prefix.cache, len(left)) as branch,
            masked(loaded, [masks[row] for row in left], means),
        ):
            found = greedy(loaded, branch, prompt.ids[-1], rows=len(left), max_new_tokens=max_new_tokens)
        rows |= zip(left, found, strict=True)
    return [rows[row] for row in range(len(masks))]


def _by_whole_passes(loaded, prompt, prefix, masks, means, max_new_tokens) -> list[list[int]]:
    """As `_from_shared_prefill`, each token from a pass over prompt and response so far."""

    def step(so_far):
        prefix.prefill(prompt.ids[:-1], prompt.ids[:-1], *[len(prompt.ids) + len(so_far[0])] * 2)
        with branched(loaded, prefix.cache, len(masks)) as branch, masked(loaded, masks, means):
            return forward(loaded, [[prompt.ids[-1], *row] for row in so_far], branch)

    return greedy_steps(loaded, step, rows=len(masks), max_new_tokens=max_new_tokens)


def _drafted(loaded, prompt, prefix, masks, means, max_new_tokens) -> dict[int, list[int]]:
    """Row -> emitted ids, for rows whose whole answer is the needle's, seen in one forward call."""
    draft = prompt.ids[prompt.cell.answer_start : prompt.cell.needle_end]
    draft = draft[: min(DRAFT_TOKENS, max_new_tokens - 1)]
    rows_size = len(masks) * loaded.info.max_heads * (len(draft) + 1) * len(prompt.ids)
    if not loaded.info.takes_blocks or (rows_size > DRAFT_LIMIT and not joins(loaded)):
        return {}
    stop = StopRule(loaded)
    with branched(loaded, prefix.cache, len(masks)) as branch, masked(loaded, masks, means):
        predicted = predictions(loaded, [[prompt.ids[-1], *draft]] * len(masks), branch).argmax(-1).tolist()
    answers = {row: confirmed(tokens, draft, stop) for row, tokens in enumerate(predicted)}
    return {row: ids for row, ids in answers.items() if stop(ids[-1], ids[:-1]) or len(ids) == max_new_tokens}


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


def _batches(head_sets: Mapping[str, MaskOrNone], rows: int) -> tuple[list[list[str]], list[list[str]]]:
    """Names of head sets that may be decoded together: with the shared prefill, and each with its own.

    A batch has one mode and one scope; the unmasked run joins the first shared batch.
    """
    kinds: dict[tuple[str, str], list[str]] = {}
    for name, mask in head_sets.items():
        if mask is not None and mask.heads:
            kinds.setdefault((mask.scope, mask.mode), []).append(name)
    unmasked = [name for name, mask in head_sets.items() if mask is None or not mask.heads]
    first = next((kind for kind in kinds if kind[0] == "decode"), ("decode", "zero_output"))
    kinds[first] = unmasked + kinds.get(first, [])
    cut = {kind: _parts(names, rows) for kind, names in kinds.items() if names}
    shared = [batch for (scope, _), batches in cut.items() if scope == "decode" for batch in batches]
    return shared, [batch for (scope, _), batches in cut.items() if scope == "all" for batch in batches]


def _parts(names: Sequence[str], size: int) -> list[Sequence[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]
