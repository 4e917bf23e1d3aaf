"""Retrieval heads from a notebook or another program, in memory: load, find, look at, mask, compare.

The workflow takes the same steps with a file behind each. A head is a pair (layer, head), counted from 0; a token
position counts from the start of the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retrieval_heads.analysis.agreement import agreement
from retrieval_heads.detection.attention_trace import RowRecorder
from retrieval_heads.detection.detector import detect
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.single_steps import whole_passes
from retrieval_heads.head_scores.ranking import NO_HEAD, any_score, rank_heads
from retrieval_heads.head_scores.scores import CELL, HeadScoreError, HeadScores, from_table
from retrieval_heads.masking import niah
from retrieval_heads.masking.head_sets import choose_head_sets
from retrieval_heads.masking.masks import HeadMask, masked
from retrieval_heads.masking_analysis.success_curves import masked_curve as success_curve
from retrieval_heads.models.loading import Loaded
from retrieval_heads.models.loading import load as load_model
from retrieval_heads.prompts.cells import Prompt
from retrieval_heads.prompts.encoding.embedded import refuse_unembedded
from retrieval_heads.prompts.encoding.opening import AUTO
from retrieval_heads.prompts.haystacks import tokenize
from retrieval_heads.prompts.needles import Needle, read_needles
from retrieval_heads.prompts.placement import Grid, cut_pieces, place_grid, prepare
from retrieval_heads.prompts.recall import passes, rouge1_recall

__all__ = [
    "FoundHeads",
    "HeadMask",
    "Needle",
    "attention_pattern",
    "choose_head_sets",
    "compare_scores",
    "find_heads",
    "load_model",
    "make_prompts",
    "masked",
    "read_needles",
    "run_masked",
    "success_curve",
]

# The paper's question (Wu et al. 2024, https://arxiv.org/abs/2404.15574), and the needle's cue where it has one.
TEMPLATE = "{context}\nBased on the content of the book, Question: {question}\nAnswer:{cue}"
# A cell passes above this ROUGE-1 recall of the answer, in percent (the paper, section 2).
SUCCESS_RECALL = 50.0
Head = tuple[int, int]


@dataclass(frozen=True)
class FoundHeads:
    """What detection found.

    ranking: one row a head, the best first (columns of `head_scores.ranking.rank_heads`). cells: needle length depth
    response rouge1_recall (percent) passed, one row a prompt. scores: of all heads over the cells that passed,
    `scores.means` float [layers, heads]. emitted: (needle, length, depth) -> token ids of the response.
    """

    ranking: pd.DataFrame
    cells: pd.DataFrame
    scores: HeadScores
    emitted: Mapping[tuple[str, int, int], list[int]]

    def top(self, k: int) -> list[Head]:
        """The k best heads as (layer, head); raises `HeadScoreError` where no head scores above 0."""
        if not any_score(self.ranking["score"]):
            raise HeadScoreError(f"{NO_HEAD}: no head scores above 0 over {len(self.scores.scores)} cells")
        return [(int(layer), int(head)) for layer, head in self.ranking[["layer", "head"]].head(k).to_numpy()]


def make_prompts(
    model: Loaded,
    needles: Sequence[Needle],
    texts: Mapping[str, str],
    *,
    lengths: Sequence[int],
    depths: Sequence[int],
    reserve_tokens: int = 128,
    max_new_tokens: int = 50,
    template: str = TEMPLATE,
    chat: bool = False,
    opening: str = AUTO,
) -> list[Prompt]:
    """The prompts of every needle at every length (tokens) and depth (percent); needles take the texts in turn.

    texts: name -> plain text. reserve_tokens: of each length, for the question and at most `max_new_tokens` of answer.
    chat: put the prompt into the tokenizer's chat template. opening: see `encoding.opening`. Raises
    `PlacementError` for a cell that cannot be built.
    """
    grid = Grid(tuple(lengths), tuple(depths), reserve_tokens, max_new_tokens, repeat_haystack=False)
    haystacks = [tokenize(name, text, model.tokenizer) for name, text in texts.items()]
    embedded = model.model.get_input_embeddings().weight.shape[0]
    prompts: list[Prompt] = []
    for index, needle in enumerate(needles):
        pieces = cut_pieces(needle, model.tokenizer, template, chat, opening=opening)
        haystack = prepare(needle.needle, haystacks[index % len(haystacks)], pieces, grid, model.info.window)
        for prompt in place_grid(needle.needle, haystack, pieces, grid):
            refuse_unembedded(prompt.ids, model.tokenizer, embedded)
            prompts.append(prompt)
    return prompts


def find_heads(
    model: Loaded,
    prompts: Sequence[Prompt],
    needles: Sequence[Needle],
    *,
    score: str = "copy_count",
    max_new_tokens: int = 50,
) -> FoundHeads:
    """Answer every prompt greedily, score every head on the way, and rank them over the prompts that passed.

    score: one of `detection.scores.SCORES`. Raises `HeadScoreError` when no prompt was answered.
    """
    results = list(detect(model, prompts, max_new_tokens=max_new_tokens, scores=(score,)))
    answers = {needle.needle: needle.answer for needle in needles}
    cells = pd.DataFrame([_answered(result.cell, result.response, answers) for result in results])
    tables = [
        result.scores.assign(**{name: getattr(result.cell, name) for name in CELL})
        for result, passed in zip(results, cells["passed"], strict=True)
        if passed
    ]
    if not tables:
        raise HeadScoreError(f"none of {len(results)} cells passed, nothing is left to average; try shorter lengths")
    info = model.info
    groups = {layer: (info.heads[layer], info.kv_heads[layer]) for layer in info.heads}
    scores = from_table(pd.concat(tables), score, (info.layers, info.max_heads), groups)
    emitted = {(one.cell.needle, one.cell.length, one.cell.depth): one.response_ids for one in results}
    return FoundHeads(rank_heads(scores), cells, scores, emitted)


def attention_pattern(model: Loaded, prompt: Prompt, emitted: Sequence[int], head: Head) -> np.ndarray:
    """Attention of one head while the model answers: float32 [steps, tokens], a row for each token that it emits.

    emitted: token ids of the response. tokens: those of the prompt, then the emitted ones but the last; a row holds 0
    from the token on that it predicts, and where a sliding window has moved on. Raises `MaskError` for a head that the
    model lacks.
    """
    HeadMask((head,)).expanded(model.info)
    recorder, prefix = RowRecorder([head]), PrefixCache(model, reuse=False)
    if model.info.rotary.same_frequencies(len(prompt.ids), len(prompt.ids) + len(emitted)):
        prefix.prefill(prompt.ids[:-1], whole=len(prompt.ids))
        with branched(model, prefix.cache, listeners=[recorder]) as branch:
            forward(model, [[prompt.ids[-1], *emitted[:-1]]], branch)
    else:
        step = whole_passes(model, prompt.ids, [recorder])
        for done in range(len(emitted)):
            step([emitted[:done]])
    tokens = len(prompt.ids) + len(emitted) - 1
    return np.stack([np.pad(row, (0, tokens - len(row))) for row in recorder.rows[head]])


def run_masked(
    model: Loaded,
    prompts: Sequence[Prompt],
    head_sets: Sequence[Mapping],
    needles: Sequence[Needle],
    *,
    max_new_tokens: int = 50,
    batch: int = 32,
    **masking: str,
) -> pd.DataFrame:
    """Every prompt under every head set and without a mask: the table that `success_curve` takes.

    head_sets: entries of `choose_head_sets`. batch: head sets that are answered side by side. masking: mode, scope and
    unit of `HeadMask`. Columns: head_set kind k seed needle length depth response rouge1_recall passed.
    """
    asked = [{"name": "unmasked", "kind": "none", "k": 0, "seed": None, "heads": []}, *head_sets]
    masks = {one["name"]: HeadMask(tuple(map(tuple, one["heads"])), **masking) for one in asked}
    answers = {needle.needle: needle.answer for needle in needles}
    rows = [
        {"head_set": one["name"], **{name: one[name] for name in ("kind", "k", "seed")}}
        | _answered(result.cell, result.responses[one["name"]], answers)
        for result in niah.run(model, prompts, masks, max_new_tokens=max_new_tokens, decode_batch=batch)
        for one in asked
    ]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def compare_scores(first: HeadScores, second: HeadScores, *, k: int = 10, threshold: float = 0.1) -> dict[str, float]:
    """Agreement of the mean scores of two models with the same layers and heads (keys of `agreement.agreement`)."""
    return agreement(first.means.ravel(), second.means.ravel(), k, threshold)


def _answered(cell, response: str, answers: Mapping[str, str]) -> dict:
    """One row about a response."""
    recall = rouge1_recall(answers[cell.needle], response)
    named = {name: getattr(cell, name) for name in CELL}
    return {**named, "response": response, "rouge1_recall": recall, "passed": passes(recall, SUCCESS_RECALL)}
