"""Quirks of the released code that act while a model answers (find_needle_idx, decode, construct_random_head)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from retrieval_heads.detection import detector as detection
from retrieval_heads.masking import niah
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models.loading import Loaded
from retrieval_heads.prompts.cells import Cell, Prompt

NOT_FOUND = (-1, -1)


def window(prompt_ids: Sequence[int], answer_ids: Sequence[int]) -> tuple[int, int]:
    """The first window as long as the answer that holds more than 90 % of its distinct tokens; (-1, -1) without one."""
    wanted, length = set(answer_ids), len(answer_ids)
    for start in range(len(prompt_ids)):
        if len(wanted.intersection(prompt_ids[start : start + length])) / len(wanted) > 0.9:
            return start, start + length
    return NOT_FOUND


def ignore_end_token(loaded: Loaded) -> None:
    """no_end_token: the end token stops no answer; a newline still does."""
    loaded.model.generation_config.eos_token_id = []


def detect(
    loaded: Loaded, prompts: Sequence[Prompt], *, names: Sequence[str], answers: Mapping[str, str], **options
) -> Iterator[detection.CellResult]:
    """`detector.detect` with quirks. answers: needle -> text of its answer.

    overlap_window: the answer is searched in the prompt, by its tokens alone; a cell whose answer is not found counts
    like any other, and all of its scores are 0.
    """
    if "no_end_token" in names:
        ignore_end_token(loaded)
    found = {}
    if "overlap_window" in names:
        sought = {name: loaded.tokenizer(text, add_special_tokens=False)["input_ids"] for name, text in answers.items()}
        found = {prompt.cell.name: window(prompt.ids, sought[prompt.cell.needle]) for prompt in prompts}
    moved = [_moved(prompt, found.get(prompt.cell.name, NOT_FOUND)) for prompt in prompts]
    for result in detection.detect(loaded, moved, **options):
        yield _emptied(result) if found.get(result.cell.name) == NOT_FOUND else result


def _moved(prompt: Prompt, span: tuple[int, int]) -> Prompt:
    if span == NOT_FOUND:
        return prompt
    return replace(prompt, cell=replace(prompt.cell, answer_start=span[0], answer_end=span[1]))


def _emptied(result: detection.CellResult) -> detection.CellResult:
    cell = replace(result.cell, answer_start=NOT_FOUND[0], answer_end=NOT_FOUND[1])
    nothing = {name: 0.0 for name in result.scores if name not in ("layer", "head")}
    return replace(result, cell=cell, scores=result.scores.assign(**nothing))


def run(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    masks: Mapping[str, HeadMask],
    *,
    names: Sequence[str],
    head_sets: Sequence[Mapping],
    **options,
) -> Iterator[niah.MaskedResult]:
    """`niah.run` with quirks. masks: by the name of the head set. head_sets: as `controls.released_controls` made them.

    random_redrawn: other random heads in every cell. The released code draws them without a seed; here each draw has
    one, so that a run can be repeated. Cells then share no prefill.
    """
    if "no_end_token" in names:
        ignore_end_token(loaded)
    if "random_redrawn" not in names:
        yield from niah.run(loaded, prompts, masks, **options)
        return
    for prompt in prompts:
        drawn = {
            one["name"]: redrawn(masks[one["name"]], one, prompt.cell, loaded) for one in head_sets if "pool" in one
        }
        yield from niah.run(loaded, [prompt], {**masks, **drawn}, **options)


def redrawn(mask: HeadMask, head_set: Mapping, cell: Cell, loaded: Loaded) -> HeadMask:
    """The random mask of one cell, `k` heads of `pool`; those that the model lacks fall away."""
    generator = np.random.default_rng(zlib.crc32(f"{head_set['name']} {cell.name}".encode()))
    chosen = generator.choice(head_set["pool"], size=head_set["k"], replace=False).tolist()
    return replace(mask, heads=tuple((layer, head) for layer, head in chosen if head < loaded.info.heads.get(layer, 0)))
