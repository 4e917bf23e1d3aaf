"""The chain in memory, for notebooks and for programs of others: prompts, head scores, attention, masked runs.

The workflow takes the same steps with a file behind each; here the results of one are handed to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from retrieval_heads import niah
from retrieval_heads.detect import CellResult
from retrieval_heads.engine.branch import branched
from retrieval_heads.engine.decoding import forward
from retrieval_heads.engine.prefix_cache import PrefixCache
from retrieval_heads.haystack import tokenise
from retrieval_heads.head_scores import CELL, HeadScoreError, HeadScores, from_table
from retrieval_heads.masking import HeadMask
from retrieval_heads.models import Loaded
from retrieval_heads.needles import Needle
from retrieval_heads.placement import Grid, Prompt, cut_pieces, place_grid, prepare
from retrieval_heads.scoring import passes, rouge1_recall
from retrieval_heads.trace import RowRecorder

# The paper's question (Wu et al. 2024, https://arxiv.org/abs/2404.15574), and the needle's cue where it has one.
TEMPLATE = "{context}\nBased on the content of the book, Question: {question}\nAnswer:{cue}"
# A cell passes above this ROUGE-1 recall of the answer, in percent (the paper, section 2).
SUCCESS_RECALL = 50.0


def make_prompts(
    loaded: Loaded,
    needles: Sequence[Needle],
    texts: Mapping[str, str],
    grid: Grid,
    *,
    template: str = TEMPLATE,
    chat: bool = False,
) -> list[Prompt]:
    """The prompts of every needle at every length and depth; needles are dealt out over the texts in their order.

    texts: name -> plain text. chat: put the prompt into the tokenizer's chat template.
    Raises `PlacementError` for a cell that cannot be built.
    """
    haystacks = [tokenise(name, text, loaded.tokenizer) for name, text in texts.items()]
    prompts: list[Prompt] = []
    for index, needle in enumerate(needles):
        pieces = cut_pieces(needle, loaded.tokenizer, template, chat)
        haystack = prepare(needle.needle, haystacks[index % len(haystacks)], pieces, grid, loaded.facts.window)
        prompts += place_grid(needle.needle, haystack, pieces, grid)
    return prompts


def cell_table(results: Iterable[CellResult], needles: Sequence[Needle]) -> pd.DataFrame:
    """needle length depth response rouge1_recall passed, one row a cell. rouge1_recall: percent."""
    answers = {needle.needle: needle.answer for needle in needles}
    rows = []
    for result in results:
        recall = rouge1_recall(answers[result.cell.needle], result.response)
        cell = {name: getattr(result.cell, name) for name in CELL}
        rows.append(
            {**cell, "response": result.response, "rouge1_recall": recall, "passed": passes(recall, SUCCESS_RECALL)}
        )
    return pd.DataFrame(rows)


def head_scores(
    loaded: Loaded, results: Sequence[CellResult], needles: Sequence[Needle], score: str = "copy_count"
) -> HeadScores:
    """The scores of every head over the cells that passed. Raises `HeadScoreError` when none did."""
    passed = cell_table(results, needles)["passed"]
    tables = [
        result.scores.assign(**{name: getattr(result.cell, name) for name in CELL})
        for result, good in zip(results, passed, strict=True)
        if good
    ]
    if not tables:
        raise HeadScoreError(f"none of {len(results)} cells passed, nothing is left to average; try shorter lengths")
    facts = loaded.facts
    groups = {layer: (facts.heads[layer], facts.kv_heads[layer]) for layer in facts.heads}
    return from_table(pd.concat(tables), score, (facts.layers, facts.max_heads), groups)


def attention_steps(loaded: Loaded, prompt: Prompt, emitted: Sequence[int], head: tuple[int, int]) -> np.ndarray:
    """Attention of one head while the model answers: float32 [steps, tokens], a row for each token that it emits.

    emitted: token ids of the response. tokens: those of the prompt, then the emitted ones but the last; a row holds 0
    from the token on that it predicts, and where a sliding window has moved on. Raises `MaskError` for a head that the
    model lacks.
    """
    HeadMask((head,)).expanded(loaded.facts)
    recorder, prefix = RowRecorder([head]), PrefixCache(loaded, reuse=False)
    prefix.prefill(prompt.ids[:-1])
    with branched(loaded, prefix.cache, listeners=[recorder]) as branch:
        forward(loaded, [[prompt.ids[-1], *emitted[:-1]]], branch)
    tokens = len(prompt.ids) + len(emitted) - 1
    return np.stack([np.pad(row, (0, tokens - len(row))) for row in recorder.rows[head]])


def masked_runs(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    head_sets: Sequence[Mapping],
    needles: Sequence[Needle],
    *,
    max_new_tokens: int,
    decode_batch: int = 32,
    **masking: str,
) -> pd.DataFrame:
    """Every prompt under every head set and without a mask, as `masked_curves.masked_curve` takes it.

    head_sets: entries of `head_sets.build`. masking: mode, scope and unit of `HeadMask`.
    Columns: head_set kind k seed needle length depth response passed.
    """
    asked = [{"name": "unmasked", "kind": "none", "k": 0, "seed": None, "heads": []}, *head_sets]
    masks = {one["name"]: HeadMask(tuple(map(tuple, one["heads"])), **masking) for one in asked}
    answers = {needle.needle: needle.answer for needle in needles}
    rows = [
        {
            "head_set": one["name"],
            **{name: one[name] for name in ("kind", "k", "seed")},
            **{name: getattr(result.cell, name) for name in CELL},
            "response": result.responses[one["name"]],
            "passed": passes(rouge1_recall(answers[result.cell.needle], result.responses[one["name"]]), SUCCESS_RECALL),
        }
        for result in niah.run(loaded, prompts, masks, max_new_tokens=max_new_tokens, decode_batch=decode_batch)
        for one in asked
    ]
    return pd.DataFrame(rows).astype({"seed": "Int64"})
