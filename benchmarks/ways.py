"""The ways that are compared: each answers all cells, in detection or under head sets, and is timed as a whole."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import torch
from naive import naive_cell
from peer import qrhead_cell

from retrieval_heads.costs.shape import read_shape
from retrieval_heads.detection.detector import detect
from retrieval_heads.detection.null_query import NULL_QUERY
from retrieval_heads.engine.decoding import StopRule
from retrieval_heads.masking import niah
from retrieval_heads.masking.masks import HeadMask, masked
from retrieval_heads.models.loading import Loaded
from retrieval_heads.prompts.cells import Prompt

WAYS = ("naive", "generate", "peer", "full", "reused")
# Heads of a set, drawn at random, and rows side by side, as in the default config.
HEADS, BATCH = 5, 64


def measure(way: str, loaded: Loaded, prompts: list[Prompt], again: Callable, new_tokens: int, sets: int) -> dict:
    """Answers, tokens prefilled and seconds of one way over all cells.

    again: makes the token ids of a cell and of its needle from the texts. sets: head sets under which every cell is
    asked; 0 for detection.
    """
    masks = head_sets(loaded, sets) if sets else {"": None}
    stop = StopRule(loaded)
    ends = [token for token in range(len(loaded.tokenizer)) if stop(token)]
    started, cpu_started, emitted = time.perf_counter(), time.process_time(), 0
    prefilled = sum(len(prompt.ids) for prompt in prompts) * len(masks)
    if way in ("naive", "generate"):
        ask = naive if way == "naive" else generated
        made = {
            prompt.cell.name + name: stop.text(ask(loaded, prompt, again, ends, new_tokens, mask))
            for name, mask in masks.items()
            for prompt in prompts
        }
    elif way == "peer":
        null_query = loaded.tokenizer.encode(NULL_QUERY, add_special_tokens=False)
        for prompt in prompts:
            cell = prompt.cell
            qrhead_cell(loaded.model, prompt.ids, cell.question_start, null_query, (cell.answer_start, cell.answer_end))
        made = {}
    elif sets:
        runs = list(niah.run(loaded, prompts, masks, max_new_tokens=new_tokens, decode_batch=BATCH))
        made = {run.cell.name + name: text for run in runs for name, text in run.responses.items()}
        prefilled, emitted = (sum(getattr(run, f"{what}_tokens") for run in runs) for what in ("prefilled", "emitted"))
    else:
        found = list(detect(loaded, prompts, max_new_tokens=new_tokens, reuse=way == "reused"))
        made = {result.cell.name: stop.text(result.response_ids) for result in found}
        prefilled = sum(result.prefilled_tokens for result in found)
        emitted = sum(len(result.response_ids) for result in found)
    spent = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu_started}
    flop = flops(loaded, prompts, prefilled, emitted)
    return {"way": way, "answers": made, "prefilled": prefilled, "emitted": emitted, "flop": flop, **spent}


def flops(loaded: Loaded, prompts: list[Prompt], prefilled: int, emitted: int) -> float:
    """FLOP that no way around is known: of the tokens that were prefilled, and of those that were emitted."""
    shape = read_shape(loaded.model.config.to_dict())
    lengths = [len(prompt.ids) for prompt in prompts]
    mean = sum(lengths) // len(lengths)
    each = sum(shape.prefill_flops(0, length) for length in lengths) / sum(lengths)
    return prefilled * each + emitted * (shape.prefill_flops(mean, mean + 1) + 2 * shape.hidden * shape.vocabulary)


def head_sets(loaded: Loaded, count: int) -> dict[str, HeadMask | None]:
    """The unmasked run and `count` - 1 sets of random heads, masked while the answer is decoded."""
    heads = [(layer, head) for layer in loaded.info.attention_layers for head in range(loaded.info.heads[layer])]
    draw = random.Random(0)
    return {"/unmasked": None} | {f"/{n}": HeadMask(tuple(draw.sample(heads, HEADS))) for n in range(1, count)}


def naive(loaded: Loaded, prompt: Prompt, again: Callable, ends: list[int], new_tokens: int, mask) -> list[int]:
    """The answer of the naive way, its scores thrown away."""
    return naive_cell(loaded.model, *again(prompt), ends, new_tokens, masked(loaded, mask))[0]


def generated(loaded: Loaded, prompt: Prompt, again: Callable, ends: list[int], new_tokens: int, mask) -> list[int]:
    """The greedy answer of transformers' own `generate`, without scores."""
    ids = torch.tensor([prompt.ids], device=loaded.model.device)
    options = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": ends, "pad_token_id": ends[0]}
    with torch.inference_mode(), masked(loaded, mask):
        found = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), **options)
    return found[0, len(prompt.ids) :].tolist()
