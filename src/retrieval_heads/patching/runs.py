"""Patched needle runs: two prefills of a cell, one of each prompt, serve every head set in both directions.

denoising: the model reads the counterpart and its heads are given what they gave over the original, while the original
answer is forced; what this restores, the heads are enough for. noising: the same with the two prompts exchanged; what
it takes to make the model say the other thing (Heimersheim and Nanda 2024, https://arxiv.org/abs/2404.15255, section 2,
whose terms these are; they read noising by what it takes away, here it is read by what it puts in its place).
Heads are patched from the last prompt token on, as masks of scope `decode` act.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache

from retrieval_heads.engine.forward_calls import predictions
from retrieval_heads.engine.prefill import PrefixCache, order_prompts
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models.architecture import ModelInfo
from retrieval_heads.models.loading import Loaded
from retrieval_heads.patching.counterparts import answer_ids
from retrieval_heads.patching.measures import measure
from retrieval_heads.patching.patch import PatchError, patched, recorded
from retrieval_heads.prompts.cells import Cell, Prompt

# Attention weights of one layer that may exist at a time: 512 MiB in float32.
WEIGHTS_LIMIT = 2**27
DIRECTIONS = ("denoising", "noising")
# The run that the heads come from, unpatched; the run that is patched, with no head and with all of them.
SOURCE, FLOOR, CEILING = "source", "none", "all"


@dataclass(frozen=True)
class PatchedResult:
    """One cell under every head set.

    measured: direction -> what is patched -> name of the head set -> its row (`measures.measure`).
    prefilled_tokens: of both prompts. seconds: wall time of the cell.
    """

    cell: Cell
    measured: dict[str, dict[str, dict[str, dict]]]
    prefilled_tokens: int
    seconds: float


def with_limits(info: ModelInfo, head_sets: Mapping[str, HeadMask]) -> dict[str, HeadMask]:
    """The head sets with the floor in front, no head, and the ceiling behind, all heads of the model."""
    every = tuple((layer, head) for layer in info.attention_layers for head in range(info.heads[layer]))
    return {FLOOR: HeadMask(()), **head_sets, CEILING: HeadMask(every)}


def run(
    loaded: Loaded,
    pairs: Sequence[tuple[Prompt, Prompt]],
    head_sets: Mapping[str, HeadMask],
    *,
    directions: Sequence[str] = DIRECTIONS,
    what: Sequence[str] = ("outputs",),
    batch: int = 64,
) -> Iterator[PatchedResult]:
    """Yield one result per pair (original, counterpart) as it is done, in the order that shares most prefill.

    head_sets: name -> heads and unit; the floor and the ceiling are added, and the unpatched source run. batch: head
    sets that are run side by side. what: `outputs`, `weights` or both.
    """
    others = {original.cell: counterpart for original, counterpart in pairs}
    ordered = order_prompts((original for original, _ in pairs), loaded.info.rotary)
    for original in ordered:
        _refuse_unsettled(loaded.info, original)
    prefix, head_sets = PrefixCache(loaded), with_limits(loaded.info, head_sets)
    for original, following in zip(ordered, [*ordered[1:], None], strict=True):
        started, counterpart = time.perf_counter(), others[original.cell]
        whole, after = len(original.ids), following.ids if following else ()
        tokens = prefix.prefill(original.ids[:-1], counterpart.ids[:-1], whole, whole)
        first = (original, prefix.kept())
        tokens += prefix.prefill(counterpart.ids[:-1], after[:-1], whole, len(after))
        second = (counterpart, prefix.cache)
        ends = {"denoising": (first, second), "noising": (second, first)}
        measured = {
            direction: {
                kind: _one_direction(loaded, *ends[direction], head_sets, kind=kind, batch=batch) for kind in what
            }
            for direction in directions
        }
        yield PatchedResult(original.cell, measured, tokens + 2, time.perf_counter() - started)


def _refuse_unsettled(info: ModelInfo, prompt: Prompt) -> None:
    """Raise `PatchError` where the rotary frequencies change while the answer is fed: no prefill serves its tokens."""
    last = len(prompt.ids) + len(answer_ids(prompt)) - 1
    if not info.rotary.same_frequencies(len(prompt.ids), last):
        raise PatchError(
            f"patched: the rotary frequencies of this model ({info.model_type}) change between {len(prompt.ids)} and "
            f"{last} tokens, within the answer of cell {prompt.cell.name}; choose other masked.lengths, or leave the "
            "model out of patched.models"
        )


def _one_direction(
    loaded: Loaded,
    source: tuple[Prompt, Cache],
    base: tuple[Prompt, Cache],
    head_sets: Mapping[str, HeadMask],
    *,
    kind: str,
    batch: int,
) -> dict[str, dict]:
    """Name of each head set, and of the source run, -> its row; the source's answer is forced in all of them."""
    answer, other = answer_ids(source[0]), answer_ids(base[0])
    fed = [source[0].ids[-1], *answer[:-1]]
    at_once = _tokens_at_once(loaded, min(batch, len(head_sets)), len(fed), len(source[0].ids))
    with recorded(loaded, kind) as (given, listeners), branched(loaded, source[1], 1, listeners) as branch:
        logits = _forced(loaded, branch, fed, 1, at_once)
    found = {SOURCE: measure(logits, answer, other)[0]}
    names = list(head_sets)
    for start in range(0, len(names), batch):
        chosen = names[start : start + batch]
        with (
            branched(loaded, base[1], len(chosen)) as branch,
            patched(loaded, branch, [head_sets[name] for name in chosen], given, kind),
        ):
            logits = _forced(loaded, branch, fed, len(chosen), at_once)
        found |= zip(chosen, measure(logits, answer, other), strict=True)
    return found


def _forced(loaded: Loaded, cache: Cache, fed: Sequence[int], rows: int, at_once: int) -> torch.Tensor:
    """Logits [rows, tokens, vocabulary] behind each of the tokens, which all rows are fed, `at_once` in a call."""
    blocks = [fed[start : start + at_once] for start in range(0, len(fed), at_once)]
    return torch.cat([predictions(loaded, [block] * rows, cache) for block in blocks], dim=1)


def _tokens_at_once(loaded: Loaded, rows: int, tokens: int, keys: int) -> int:
    """All tokens in one call where the model takes blocks and their attention weights are few; else one by one."""
    small = rows * loaded.info.max_heads * tokens * (keys + tokens) <= WEIGHTS_LIMIT
    return tokens if loaded.info.takes_blocks and small else 1
