"""Scores of heads from what the probe read: pure functions of arrays, no model.

Notation of Wu et al. 2024 (https://arxiv.org/abs/2404.15574, section 2): at a decode step that emits token w,
a head copies when the position j that it attends to most lies in the needle's answer span and holds w.

To add a score: a function here, its name in `SCORES`, one line in `detector._score`, and its name in the two lists of
scores of workflow/schemas/config.schema.yaml (`detection.scores`, `detection.rank_by`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from retrieval_heads.prompts.cells import Cell

COPY_SCORES = ("copy_set", "copy_count", "copy_position")
SCORES = (*COPY_SCORES, "attention_sum", "logit_contribution", "query_focused")
TARGETS = ("needle", "first token", "question", "generated", "other")


def copy_hits(
    argmax: np.ndarray, emitted: Sequence[int], prompt_ids: Sequence[int], span: tuple[int, int]
) -> np.ndarray:
    """Which heads copied at which step: boolean [steps, layers, heads].

    argmax: position attended to most, [steps, layers, heads], -1 where there is no head. emitted: token of
    each step.
    """
    start, end = span
    inside = (argmax >= start) & (argmax < end)
    tokens = np.asarray(prompt_ids)[np.where(inside, argmax, 0)]
    return inside & (tokens == np.asarray(emitted)[:, None, None])


def copy_scores(
    argmax: np.ndarray, emitted: Sequence[int], prompt_ids: Sequence[int], span: tuple[int, int]
) -> dict[str, np.ndarray]:
    """The three copy scores, each float [layers, heads], NaN where there is no head.

    copy_set: distinct answer tokens copied / distinct answer tokens (Eq. 1 of the paper).
    copy_count: copying steps / answer tokens (the released code; repeats count, so it can pass 1).
    copy_position: answer positions copied, each once / answer tokens.
    """
    start, end = span
    hits = copy_hits(argmax, emitted, prompt_ids, span)
    answer = np.asarray(prompt_ids)[start:end]
    missing = (argmax < 0).all(axis=0)
    # [steps, layers, heads, answer tokens]: the one position that this step copied from, if any.
    copied = hits[..., None] & (argmax[..., None] == np.arange(start, end))
    positions = copied.any(axis=0)
    distinct = np.unique(answer)
    copied_tokens = np.stack([positions[..., answer == token].any(axis=-1) for token in distinct], axis=-1)
    scores = {
        "copy_set": copied_tokens.sum(axis=-1) / len(distinct),
        "copy_count": hits.sum(axis=0) / len(answer),
        "copy_position": positions.sum(axis=-1) / len(answer),
    }
    return {name: np.where(missing, np.nan, score) for name, score in scores.items()}


def score_table(scores: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """One row per head: layer, head and the scores, each [layers, heads]; none for missing heads."""
    first = next(iter(scores.values()))
    layer, head = np.nonzero(~np.isnan(first))
    columns = {name: score[layer, head] for name, score in scores.items()}
    return pd.DataFrame({"layer": layer, "head": head, **columns})


def step_table(
    cell: Cell, argmax: np.ndarray, span_mass: np.ndarray, emitted: Sequence[int], prompt_ids: Sequence[int]
) -> pd.DataFrame:
    """One row per step and head: needle, length, depth, step, layer, head, target_class, hit, span_mass.

    target_class of the position attended to most: needle (the whole sentence), first token, question,
    generated, other. hit: the head copied at this step. span_mass: attention on the answer, 0..1.
    """
    hits = copy_hits(argmax, emitted, prompt_ids, (cell.answer_start, cell.answer_end))
    step, layer, head = np.nonzero(argmax >= 0)
    position = argmax[step, layer, head]
    tests = (
        (position >= cell.needle_start) & (position < cell.needle_end),
        position == 0,
        (position >= cell.question_start) & (position < cell.prompt_tokens),
        position >= cell.prompt_tokens,
    )
    return pd.DataFrame(
        {
            "needle": cell.needle,
            "length": cell.length,
            "depth": cell.depth,
            "step": step,
            "layer": layer,
            "head": head,
            "target_class": np.select(tests, TARGETS[:-1], default=TARGETS[-1]),
            "hit": hits[step, layer, head],
            "span_mass": span_mass[step, layer, head],
        }
    )
