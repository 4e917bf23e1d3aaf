"""What every head attends to while the model answers (`Probe`), and the scores of heads computed from it.

Notation of Wu et al. 2024 (https://arxiv.org/abs/2404.15574, section 2): at a decode step that emits token w,
a head copies when the position j that it attends to most lies in the needle's answer span and holds w.

To add a score: a function here, its name in `SCORES`, one line in `detector._score`, and its name in the two lists of
scores of workflow/schemas/config.schema.yaml (`detection.scores`, `detection.rank_by`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from retrieval_heads.models.architecture import ModelInfo
from retrieval_heads.prompts.cells import Cell

COPY_SCORES = ("copy_set", "copy_count", "copy_position")
SCORES = (*COPY_SCORES, "attention_sum", "logit_contribution", "query_focused")
TARGETS = ("needle", "first token", "question", "generated", "other")


@dataclass(frozen=True)
class Reading:
    """What the probed tokens gave, in the order in which they passed.

    argmax: position attended to most, int64 [queries, layers, heads], -1 where there is no such head.
    span_mass: attention on the span, float32 [queries, layers, heads], NaN where there is no such head.
    """

    argmax: torch.Tensor
    span_mass: torch.Tensor


class Probe:
    """Listener of a row of `Rows` or `branched` (engine). `span`: token positions [start, end) whose mass is summed.

    What is read is reduced as soon as a layer has run: nothing of the length of the context outlives it.
    Positions count from the start of the sequence, also in layers that keep a sliding window only.
    """

    def __init__(self, info: ModelInfo, span: tuple[int, int]):
        self.info, self.span = info, span
        self._layers: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}

    def __call__(self, layer: int, rows: torch.Tensor, first: int, values: tuple[torch.Tensor, ...]) -> None:
        """Take one layer's rows [1, heads, queries, keys]; the first key stands at position `first`."""
        start, end = (max(0, position - first) for position in self.span)
        found = (rows[0].argmax(-1).T + first, rows[0, :, :, start:end].sum(-1).T)
        self._layers.setdefault(layer, []).append(found)

    def take_back(self, queries: int) -> None:
        """Forget the last queries: their tokens turned out not to belong to the answer."""
        for found in self._layers.values():
            argmax, mass = found[-1]
            found[-1] = (argmax[:-queries], mass[:-queries])

    def reading(self) -> Reading:
        """Everything probed so far, on the CPU."""
        some = next(iter(self._layers.values()))
        shape = (sum(len(argmax) for argmax, _ in some), self.info.layers, self.info.max_heads)
        argmax, mass = torch.full(shape, -1), torch.full(shape, torch.nan)
        for layer, found in self._layers.items():
            heads = self.info.heads[layer]
            argmax[:, layer, :heads] = torch.cat([a for a, _ in found]).cpu()
            mass[:, layer, :heads] = torch.cat([m for _, m in found]).cpu()
        return Reading(argmax, mass)


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
