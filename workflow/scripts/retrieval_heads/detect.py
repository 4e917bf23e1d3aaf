"""Detection: answer every cell once and score every head on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retrieval_heads.branch import branched
from retrieval_heads.contributions import ContributionProbe
from retrieval_heads.decoding import StopRule, forward, greedy, greedy_with_draft
from retrieval_heads.models import Loaded
from retrieval_heads.placement import Cell, Prompt
from retrieval_heads.prefix_cache import PrefixCache, order_prompts
from retrieval_heads.probe import Probe
from retrieval_heads.scoring import COPY_SCORES, SCORES, copy_scores, score_table, step_table

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


def detect(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    scores: Sequence[str] = (*COPY_SCORES, "attention_sum"),
    steps: bool = False,
    reuse: bool = True,
) -> Iterator[CellResult]:
    """Yield one result per prompt as it is done, in the order that shares most prefill.

    scores: names out of `scoring.SCORES`. steps: also make the per-step table. reuse: share prefixes between
    prompts.
    """
    unknown = sorted(set(scores) - set(SCORES))
    if unknown:
        raise ValueError(f"unknown scores {unknown}; choose from {', '.join(SCORES)}")
    prefix = PrefixCache(loaded, reuse)
    ordered = order_prompts(prompts)
    for prompt, following in zip(ordered, [*ordered[1:], None], strict=True):
        started = time.perf_counter()
        probed = _first_probed(prompt, scores)
        ahead = following.ids[: _first_probed(following, scores)] if following else ()
        prefilled = prefix.prefill(prompt.ids[:probed], ahead) + len(prompt.ids) - probed
        response_ids, found, table = _probe_cell(loaded, prompt, prefix.cache, probed, max_new_tokens, scores, steps)
        yield CellResult(
            cell=prompt.cell,
            response=StopRule(loaded).text(response_ids),
            response_ids=response_ids,
            scores=score_table({name: found[name] for name in scores}),
            prefilled_tokens=prefilled,
            seconds=time.perf_counter() - started,
            steps=table,
        )


def _first_probed(prompt: Prompt, scores: Sequence[str]) -> int:
    """Prefill ends here: the last prompt token is the first decode step, the query-focused score needs the question."""
    return prompt.cell.question_start if "query_focused" in scores else len(prompt.ids) - 1


def _probe_cell(loaded, prompt, cache, probed, max_new_tokens, scores, steps):
    """Decode one cell under the probes: emitted ids, name -> score [layers, heads], per-step table."""
    cell = prompt.cell
    span = (cell.answer_start, cell.answer_end)
    probe, writing = Probe(loaded.facts, span), ContributionProbe(loaded, span)
    listeners = [probe, writing] if "logit_contribution" in scores else [probe]
    with branched(loaded, cache, listeners=listeners) as branch:
        forward(loaded, [prompt.ids[probed:-1]], branch)
        emitted = _decode(loaded, branch, prompt, listeners, max_new_tokens)
    reading = probe.reading()
    first_step = len(prompt.ids) - 1 - probed
    argmax, mass = reading.argmax[first_step:].numpy(), reading.span_mass[first_step:].numpy()
    found: dict[str, np.ndarray] = copy_scores(argmax, emitted, prompt.ids, span)
    found["attention_sum"] = mass[0]
    if "logit_contribution" in scores:
        found["logit_contribution"] = writing.score(emitted).numpy()
    if "query_focused" in scores:
        question = reading.span_mass[: first_step + 1].mean(0)
        found["query_focused"] = (question - _null_query_mass(loaded, cache, span)).numpy()
    return emitted, found, step_table(cell, argmax, mass, emitted, prompt.ids) if steps else None


def _decode(loaded, branch, prompt, listeners, max_new_tokens) -> list[int]:
    """Greedy ids. The answer as it stands in the needle is tried first, where the cache allows it."""
    if not loaded.facts.takes_back:
        return greedy(loaded, branch, prompt.ids[-1], max_new_tokens=max_new_tokens)[0]

    def take_back(tokens: int) -> None:
        for listener in listeners:
            listener.take_back(tokens)

    return greedy_with_draft(
        loaded,
        branch,
        prompt.ids[-1],
        source=prompt.ids[prompt.cell.answer_start : prompt.cell.needle_end],
        max_new_tokens=max_new_tokens,
        take_back=take_back,
    )


def _null_query_mass(loaded: Loaded, cache, span: tuple[int, int]):
    """Mean attention on the span when the context is followed by the null query alone, [layers, heads]."""
    probe = Probe(loaded.facts, span)
    with branched(loaded, cache, listeners=[probe]) as branch:
        forward(loaded, [loaded.tokenizer.encode(NULL_QUERY, add_special_tokens=False)], branch)
    return probe.reading().span_mass.mean(0)
