"""Detection: answer every cell once and score every head on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from retrieval_heads.decoding import StopRule, greedy
from retrieval_heads.models import Loaded
from retrieval_heads.placement import Cell, Prompt
from retrieval_heads.prefix_cache import PrefixCache, order_prompts
from retrieval_heads.probe import Probe
from retrieval_heads.scoring import COPY_SCORES, copy_scores, score_table, step_table


@dataclass(frozen=True)
class CellResult:
    """One cell, answered and scored.

    response_ids: as emitted, stop token included. scores: layer, head and one column per score.
    prefilled_tokens: prompt tokens that went through the model, the probed last one included. seconds: wall time.
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

    scores: names out of `scoring.SCORES`. steps: also make the per-step table. reuse: share prefixes between prompts.
    """
    prefix = PrefixCache(loaded, reuse)
    ordered = order_prompts(prompts)
    for prompt, following in zip(ordered, [*ordered[1:], None], strict=True):
        started = time.perf_counter()
        prefilled = prefix.prefill(prompt.ids[:-1], following.ids[:-1] if following else ()) + 1
        yield _answer(loaded, prompt, prefix.cache, max_new_tokens, scores, steps, prefilled, started)


def _answer(loaded, prompt, cache, max_new_tokens, scores, steps, prefilled, started) -> CellResult:
    cell, first = prompt.cell, len(prompt.ids)
    span = (cell.answer_start, cell.answer_end)
    with Probe(loaded, span) as probe:
        [emitted] = greedy(
            loaded,
            cache,
            prompt.ids[-1],
            max_new_tokens=max_new_tokens,
            before_step=lambda step: probe.expect(first + step),
        )
    reading = probe.reading()
    argmax, mass = reading.argmax.numpy(), reading.span_mass.numpy()
    found: dict[str, np.ndarray] = copy_scores(argmax, emitted, prompt.ids, span)
    found["attention_sum"] = mass[0]
    return CellResult(
        cell=cell,
        response=StopRule(loaded).text(emitted),
        response_ids=emitted,
        scores=score_table({name: found[name] for name in scores}),
        prefilled_tokens=prefilled,
        seconds=time.perf_counter() - started,
        steps=step_table(cell, argmax, mass, emitted, prompt.ids) if steps else None,
    )
