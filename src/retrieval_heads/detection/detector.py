"""Detection: answer every cell once and score every head on the way."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, groupby

import numpy as np
import pandas as pd
import torch
from transformers.cache_utils import Cache

from retrieval_heads.detection.logit_attribution import ContributionProbe
from retrieval_heads.detection.null_query import null_query_masses
from retrieval_heads.detection.scores import COPY_SCORES, SCORES, Probe, copy_scores, score_table, step_table
from retrieval_heads.engine.decoding import Drafts, Start, StopRule, stream_rows
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.lookup import Passages
from retrieval_heads.engine.prefill import SIDE_BY_SIDE, PrefixCache, fits, order_prompts
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.single_steps import greedy, greedy_steps, whole_passes
from retrieval_heads.models.loading import Loaded
from retrieval_heads.models.out_of_memory import Halving, shortage_named
from retrieval_heads.models.usage import seconds_now
from retrieval_heads.prompts.cells import Cell, Prompt


@dataclass(frozen=True)
class CellResult:
    """One cell, answered and scored.

    response_ids: as emitted, stop token included. scores: layer, head and one column per score.
    prefilled_tokens: prompt tokens that went through the model. seconds: wall time.
    steps: the per-step table, None when it was not asked for.
    """

    cell: Cell
    response: str
    response_ids: list[int]
    scores: pd.DataFrame
    prefilled_tokens: int
    seconds: float
    steps: pd.DataFrame | None


@dataclass
class _Row:
    """A prompt that is being answered. cache: filled up to its first probed token. null_mass: see `null_query`.

    seconds: wall time so far, its share of what was computed for several rows.
    """

    prompt: Prompt
    cache: Cache
    probed: int
    prefilled: int
    listeners: list
    seconds: float
    null_mass: torch.Tensor | None = None


def detect(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    scores: Sequence[str] = (*COPY_SCORES, "attention_sum"),
    steps: bool = False,
    reuse: bool = True,
    rows: int = SIDE_BY_SIDE,
) -> Iterator[CellResult]:
    """Yield the results of all prompts as they are done; they begin in the order that shares most prefill.

    scores: names out of `detection.scores.SCORES`. steps: also make the per-step table. reuse: share prefixes between
    prompts. rows: short prompts that are answered side by side, where the model's caches allow it.
    """
    unknown = sorted(set(scores) - set(SCORES))
    if unknown:
        raise ValueError(f"unknown scores {unknown}; choose from {', '.join(SCORES)}")
    rotary, prefix, drafts = loaded.info.rotary, PrefixCache(loaded, reuse), Drafts()
    in_halves = Halving("prompts", "detection.lengths")
    options = {"max_new_tokens": max_new_tokens, "scores": scores}

    def frequencies(prompt: Prompt) -> Hashable:
        """Of prompts that may run side by side, those that they all have; None for the others."""
        settled = rotary.same_frequencies(len(prompt.ids), len(prompt.ids) + max_new_tokens)
        return rotary.choice(len(prompt.ids)) if loaded.info.takes_back and settled else None

    for alike, part in groupby(order_prompts(prompts, rotary), key=frequencies):
        left = list(part)
        if alike is None:
            answered = _one_by_one(prefix, left, **options)
        else:
            answered = in_halves.streamed(min(rows, len(left)), partial(_side_by_side, prefix, left, drafts, **options))
        for row, emitted in answered:
            yield _result(loaded, row, emitted, scores, steps)


def _side_by_side(
    prefix: PrefixCache, left: list[Prompt], drafts: Drafts, size: int, *, max_new_tokens: int, scores: Sequence[str]
) -> Iterator[tuple[_Row, list[int]]]:
    """Yield the row of every prompt as it ends, and what it emitted; the prompt is taken off the list `left`.

    size: rows that run at a time. A prompt is prefilled when there is room for its row, so that a long response is
    written beside those to the next prompts. Guessed first: the last response to the needle (`Drafts`).
    """
    waiting, numbers, running = list(left), count(), {}
    longest = max(len(prompt.ids) for prompt in left)
    loaded, since = prefix.loaded, 0.0

    def more(free: int) -> list[Start]:
        nonlocal since
        new = []
        while waiting and len(new) < free:
            if not fits(waiting[0], [row.prompt for row in (*running.values(), *new)], longest):
                break
            new.append(_fill(prefix, waiting.pop(0), None, scores))
        _ask_null_queries(loaded, new, scores)
        running.update((next(numbers), row) for row in new)
        since = seconds_now(loaded)
        return [_start(row) for row in new]

    stop = StopRule(loaded)
    rows = stream_rows(loaded, more, stop, size=size, max_new_tokens=max_new_tokens, drafts=drafts)
    for number, emitted in rows:
        now = seconds_now(loaded)
        for row in running.values():
            row.seconds += (now - since) / len(running)
        since, row = now, running.pop(number)
        left.remove(row.prompt)
        yield row, emitted
        since = seconds_now(loaded)


def _start(row: _Row) -> Start:
    ids, cell = row.prompt.ids, row.prompt.cell
    passages = Passages(ids, (cell.needle_start, cell.needle_end))
    return Start(row.cache, ids[row.probed :], passages, question=cell.needle, listeners=row.listeners)


def _fill(prefix: PrefixCache, prompt: Prompt, following: Prompt | None, scores: Sequence[str]) -> _Row:
    """Prefill one prompt. following: the prompt after it, for caches that must know where to be cut."""
    started = seconds_now(prefix.loaded)
    probed = _first_probed(prompt, scores)
    ahead = following.ids[: _first_probed(following, scores)] if following else ()
    wholes = (len(prompt.ids), len(following.ids) if following else None)
    prefilled = prefix.prefill(prompt.ids[:probed], ahead, *wholes) + len(prompt.ids) - probed
    listeners = _listeners(prefix.loaded, prompt.cell, scores)
    return _Row(prompt, prefix.kept(), probed, prefilled, listeners, seconds_now(prefix.loaded) - started)


def _first_probed(prompt: Prompt, scores: Sequence[str]) -> int:
    """Position at which the prefill ends: the last prompt token, or the question where `query_focused` is scored."""
    return prompt.cell.question_start if "query_focused" in scores else len(prompt.ids) - 1


def _result(loaded: Loaded, row: _Row, emitted: list[int], scores: Sequence[str], steps: bool) -> CellResult:
    """Score the heads of one cell."""
    started = seconds_now(loaded)
    found, table = _score(row, emitted, steps)
    return CellResult(
        cell=row.prompt.cell,
        response=StopRule(loaded).text(emitted),
        response_ids=emitted,
        scores=score_table({name: found[name] for name in scores}),
        prefilled_tokens=row.prefilled,
        seconds=row.seconds + seconds_now(loaded) - started,
        steps=table,
    )


def _listeners(loaded: Loaded, cell: Cell, scores: Sequence[str]) -> list:
    span = (cell.answer_start, cell.answer_end)
    writing = [ContributionProbe(loaded, span)] if "logit_contribution" in scores else []
    return [Probe(loaded.info, span), *writing]


def _one_by_one(
    prefix: PrefixCache, prompts: Sequence[Prompt], *, max_new_tokens: int, scores: Sequence[str]
) -> Iterator[tuple[_Row, list[int]]]:
    """As `_side_by_side`, for caches from which nothing can be taken back and frequencies that change."""
    loaded = prefix.loaded
    for prompt, following in zip(prompts, [*prompts[1:], None], strict=True):
        with shortage_named("a prompt", "detection.lengths"):
            row = _fill(prefix, prompt, following, scores)
            started = seconds_now(loaded)
            _ask_null_queries(loaded, [row], scores)
            emitted = _token_by_token(loaded, row, max_new_tokens)
            row.seconds += seconds_now(loaded) - started
        yield row, emitted


def _token_by_token(loaded: Loaded, row: _Row, max_new_tokens: int) -> list[int]:
    ids = row.prompt.ids
    with branched(loaded, row.cache, listeners=row.listeners) as branch:
        forward(loaded, [ids[row.probed : -1]], branch)
        if loaded.info.rotary.same_frequencies(len(ids), len(ids) + max_new_tokens):
            return greedy(loaded, branch, ids[-1], max_new_tokens=max_new_tokens)[0]
    return greedy_steps(loaded, whole_passes(loaded, ids, row.listeners), max_new_tokens=max_new_tokens)[0]


def _score(row: _Row, emitted: list[int], steps: bool):
    """name -> score [layers, heads] of one cell, and its per-step table."""
    prompt, cell = row.prompt, row.prompt.cell
    span = (cell.answer_start, cell.answer_end)
    probe, *writing = row.listeners
    reading = probe.reading()
    first_step = len(prompt.ids) - 1 - row.probed
    argmax, mass = reading.argmax[first_step:].numpy(), reading.span_mass[first_step:].numpy()
    found: dict[str, np.ndarray] = copy_scores(argmax, emitted, prompt.ids, span)
    found["attention_sum"] = mass[0]
    if writing:
        found["logit_contribution"] = writing[0].score(emitted).numpy()
    if row.null_mass is not None:
        found["query_focused"] = (reading.span_mass[: first_step + 1].mean(0) - row.null_mass).numpy()
    return found, step_table(cell, argmax, mass, emitted, prompt.ids) if steps else None


def _ask_null_queries(loaded: Loaded, rows: Sequence[_Row], scores: Sequence[str]) -> None:
    """Ask the null query behind the contexts of new rows, where a score needs it."""
    if rows and "query_focused" in scores:
        started = seconds_now(loaded)
        masses = null_query_masses(loaded, [(row.prompt, row.cache, row.probed) for row in rows])
        for row, mass in zip(rows, masses, strict=True):
            row.null_mass = mass
            row.seconds += (seconds_now(loaded) - started) / len(rows)
