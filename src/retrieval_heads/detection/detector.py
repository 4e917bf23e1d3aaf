"""Detection: answer every cell once and score every head on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from transformers.cache_utils import Cache

from retrieval_heads.detection.logit_attribution import ContributionProbe
from retrieval_heads.detection.scores import COPY_SCORES, SCORES, Probe, copy_scores, score_table, step_table
from retrieval_heads.engine.batched_decoding import Rows
from retrieval_heads.engine.decoding import Drafts, Start, StopRule, greedy_rows
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.lookup import Passages
from retrieval_heads.engine.prefill import SIDE_BY_SIDE, PrefixCache, groups, order_prompts
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.single_steps import greedy, greedy_steps, whole_passes
from retrieval_heads.models.loading import Loaded
from retrieval_heads.models.out_of_memory import Halving
from retrieval_heads.models.usage import seconds_now
from retrieval_heads.prompts.cells import Cell, Prompt

# The query that asks nothing, of the query-focused score (Zhang et al. 2025,
# https://arxiv.org/abs/2506.09944).
NULL_QUERY = "N/A"


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


@dataclass(frozen=True)
class _Filled:
    """A prompt with its cache, filled up to its first probed token."""

    prompt: Prompt
    cache: Cache
    probed: int
    prefilled: int
    seconds: float


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
    """Yield the results of all prompts as they are done, in the order that shares most prefill.

    scores: names out of `detection.scores.SCORES`. steps: also make the per-step table. reuse: share prefixes between
    prompts. rows: short prompts that are answered side by side, where the model's caches allow it.
    """
    unknown = sorted(set(scores) - set(SCORES))
    if unknown:
        raise ValueError(f"unknown scores {unknown}; choose from {', '.join(SCORES)}")
    prefix, in_halves = PrefixCache(loaded, reuse), Halving("prompts", "detection.lengths")
    drafts = Drafts()

    def answered(part: Sequence[tuple[Prompt, Prompt | None]]) -> list[CellResult]:
        filled = [_fill(prefix, *pair, scores) for pair in part]
        return list(_answer(loaded, filled, drafts, max_new_tokens, scores, steps))

    ordered, rotary = order_prompts(prompts, loaded.info.rotary), loaded.info.rotary
    for group in groups(ordered, rotary, rows if loaded.info.takes_back else 1):
        yield from in_halves(group, answered)


def _fill(prefix: PrefixCache, prompt: Prompt, following: Prompt | None, scores: Sequence[str]) -> _Filled:
    """Prefill one prompt. following: the prompt after it, for caches that must know where to be cut."""
    started = seconds_now(prefix.loaded)
    probed = _first_probed(prompt, scores)
    ahead = following.ids[: _first_probed(following, scores)] if following else ()
    wholes = (len(prompt.ids), len(following.ids) if following else None)
    prefilled = prefix.prefill(prompt.ids[:probed], ahead, *wholes) + len(prompt.ids) - probed
    return _Filled(prompt, prefix.kept(), probed, prefilled, seconds_now(prefix.loaded) - started)


def _first_probed(prompt: Prompt, scores: Sequence[str]) -> int:
    """Position at which the prefill ends: the last prompt token, or the question where `query_focused` is scored."""
    return prompt.cell.question_start if "query_focused" in scores else len(prompt.ids) - 1


def _answer(
    loaded, filled: Sequence[_Filled], drafts: Drafts, max_new_tokens: int, scores, steps: bool
) -> Iterator[CellResult]:
    """Decode the prompts of a group under the probes and score them."""
    started = seconds_now(loaded)
    listeners = [_listeners(loaded, one.prompt.cell, scores) for one in filled]
    reach = [(len(one.prompt.ids), len(one.prompt.ids) + max_new_tokens) for one in filled]
    if loaded.info.takes_back and all(loaded.info.rotary.same_frequencies(*lengths) for lengths in reach):
        answers = _with_drafts(loaded, filled, listeners, drafts, max_new_tokens)
    else:
        answers = _one_by_one(loaded, filled, listeners, max_new_tokens)
    null_masses = _null_query_masses(loaded, filled) if "query_focused" in scores else [None] * len(filled)
    decoding = (seconds_now(loaded) - started) / len(filled)
    for one, heard, emitted, null_mass in zip(filled, listeners, answers, null_masses, strict=True):
        started = seconds_now(loaded)
        found, table = _score(one, heard, emitted, null_mass, steps)
        yield CellResult(
            cell=one.prompt.cell,
            response=StopRule(loaded).text(emitted),
            response_ids=emitted,
            scores=score_table({name: found[name] for name in scores}),
            prefilled_tokens=one.prefilled,
            seconds=one.seconds + decoding + seconds_now(loaded) - started,
            steps=table,
        )


def _listeners(loaded: Loaded, cell: Cell, scores: Sequence[str]) -> list:
    span = (cell.answer_start, cell.answer_end)
    writing = [ContributionProbe(loaded, span)] if "logit_contribution" in scores else []
    return [Probe(loaded.info, span), *writing]


def _with_drafts(loaded, filled: Sequence[_Filled], listeners, drafts: Drafts, max_new_tokens: int) -> list[list[int]]:
    """Greedy ids of every row. Guessed first: the last response to the needle (`Drafts`)."""
    starts = []
    for one, heard in zip(filled, listeners, strict=True):
        ids, cell = one.prompt.ids, one.prompt.cell
        passages = Passages(ids, (cell.needle_start, cell.needle_end))
        starts.append(Start(one.cache, ids[one.probed :], passages, question=cell.needle, listeners=heard))
    stop = StopRule(loaded)
    return greedy_rows(loaded, starts, stop, size=len(starts), max_new_tokens=max_new_tokens, drafts=drafts)


def _one_by_one(loaded, filled: Sequence[_Filled], listeners, max_new_tokens: int) -> list[list[int]]:
    """Greedy ids of every prompt, for caches from which nothing can be taken back and frequencies that change."""
    answers = []
    for one, heard in zip(filled, listeners, strict=True):
        with branched(loaded, one.cache, listeners=heard) as branch:
            forward(loaded, [one.prompt.ids[one.probed : -1]], branch)
            if loaded.info.rotary.same_frequencies(len(one.prompt.ids), len(one.prompt.ids) + max_new_tokens):
                answers += greedy(loaded, branch, one.prompt.ids[-1], max_new_tokens=max_new_tokens)
                continue
        step = whole_passes(loaded, one.prompt.ids, heard)
        answers += greedy_steps(loaded, step, max_new_tokens=max_new_tokens)
    return answers


def _score(one: _Filled, listeners, emitted: list[int], null_mass: torch.Tensor | None, steps: bool):
    """name -> score [layers, heads] of one cell, and its per-step table. null_mass: None where no score needs it."""
    prompt, cell = one.prompt, one.prompt.cell
    span = (cell.answer_start, cell.answer_end)
    probe, *writing = listeners
    reading = probe.reading()
    first_step = len(prompt.ids) - 1 - one.probed
    argmax, mass = reading.argmax[first_step:].numpy(), reading.span_mass[first_step:].numpy()
    found: dict[str, np.ndarray] = copy_scores(argmax, emitted, prompt.ids, span)
    found["attention_sum"] = mass[0]
    if writing:
        found["logit_contribution"] = writing[0].score(emitted).numpy()
    if null_mass is not None:
        found["query_focused"] = (reading.span_mass[: first_step + 1].mean(0) - null_mass).numpy()
    return found, step_table(cell, argmax, mass, emitted, prompt.ids) if steps else None


def _null_query_masses(loaded: Loaded, filled: Sequence[_Filled]) -> list[torch.Tensor]:
    """Mean attention on each prompt's span when the null query alone follows its context, [layers, heads]."""
    query = loaded.tokenizer.encode(NULL_QUERY, add_special_tokens=False)
    probes = [Probe(loaded.info, (one.prompt.cell.answer_start, one.prompt.cell.answer_end)) for one in filled]
    choice = loaded.info.rotary.choice
    lengths = [length for one in filled for length in (one.probed + len(query), len(one.prompt.ids))]
    if loaded.info.takes_back and len({choice(length) for length in lengths}) == 1:
        rows = Rows(loaded)
        for one, probe in zip(filled, probes, strict=True):
            rows.add(one.cache, listeners=[probe])
        with rows.attending():
            rows.feed([query] * len(filled))
    else:
        for one, probe in zip(filled, probes, strict=True):
            _ask_null_query(loaded, one, query, probe)
    return [probe.reading().span_mass.mean(0) for probe in probes]


def _ask_null_query(loaded: Loaded, one: _Filled, query: Sequence[int], probe: Probe) -> None:
    cache, whole = one.cache, one.probed + len(query)
    if loaded.info.rotary.choice(whole) != loaded.info.rotary.choice(len(one.prompt.ids)):
        prefix = PrefixCache(loaded)
        prefix.prefill(one.prompt.ids[: one.probed], whole=whole)
        cache = prefix.cache
    with branched(loaded, cache, listeners=[probe]) as branch:
        forward(loaded, [query], branch)
