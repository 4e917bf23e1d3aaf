"""A plan before a bill: what every GPU job of a study will take, from the config and the architectures alone.

Tokens are counted on the grid, not on tokenised prompts: a prompt is taken to be as long as its length allows, and a
needle to stand exactly at its depth (the workflow moves it back to the end of a sentence, which shares a little more).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from retrieval_heads.costs.job import Job, refusal
from retrieval_heads.costs.memory import ROW_COPIES, Memory, joins, own_rows
from retrieval_heads.costs.resources import cards_needed

# A process that imports torch and transformers; reading weights from a disk (ASSUME).
START_SECONDS, DISK_RATE = 15, 1.0e9
# A row of a cell's table: layer, head and one column for each score; a row of the table of runs.
SCORE_BYTES, RUN_BYTES = 9, 160


def spans(job: Job) -> list[tuple[int, int]]:
    """Tokens [start, end) that each prompt prefills, in the engine's order, when prefixes are reused.

    Prompts over one haystack share everything in front of the earlier needle; with the same needle at the same place,
    the shorter context.
    """
    contexts = {length: length - job.reserve_tokens for length in job.lengths}
    points = sorted(
        (needle % job.haystacks, contexts[length] * depth // 100, needle, length)
        for needle in range(job.needles)
        for length in job.lengths
        for depth in job.depths
    )
    found, before = [], None
    for haystack, point, needle, length in points:
        shared = 0
        if job.shares and before and before[0] == haystack:
            same = before[1:3] == (point, needle)
            shared = min(contexts[before[3]], contexts[length]) if same else before[1]
        found.append((shared, length - job.max_new_tokens))
        # The other prompts of a cell share everything in front of its needle.
        found += [(point, length - job.max_new_tokens)] * (job.prompts - 1)
        before = (haystack, point, needle, length)
    return found


def row(job: Job, rate: float, bandwidth: float) -> dict:
    """One line of the plan: cells, tokens and FLOPs with and without reuse, memory, cards, hours, disk, what is wrong.

    rate: FLOP/s of one card. bandwidth: bytes per second of its memory. Hours are an upper bound: every answer goes on
    to `max_new_tokens`. Cards that share a model work one after another, so that more cards save no time.
    """
    reused = spans(job)
    whole = [(0, end) for _, end in reused]
    paid = reused if not job.own_prefill else whole * job.sets
    flops = sum(job.shape.prefill_flops(*span) for span in paid)
    memory = job.memory(max(job.lengths))
    seconds = START_SECONDS + memory.weights / DISK_RATE + flops / rate + decode_bytes(job, memory) / bandwidth
    reason = refusal(job)
    return {
        "model": job.model,
        "rule": job.rule,
        "cells": job.cells,
        "head_sets": job.sets,
        "longest_tokens": max(job.lengths),
        "tokens": _count(whole) * (job.sets if job.own_prefill else 1),
        "tokens_reused": _count(paid),
        "flop": sum(job.shape.prefill_flops(*span) for span in whole) * (job.sets if job.own_prefill else 1),
        "flop_reused": flops,
        "memory_gb": round(memory.total / 1e9, 1),
        "cards_80gb": None if reason else cards_needed(memory, len(job.shape.layers)),
        "hours": round(seconds / 3600, 4),
        "disk_gb": round(_disk_bytes(job) / 1e9, 2),
        "refused": reason,
    }


def decode_bytes(job: Job, memory: Memory) -> float:
    """Bytes read while answers are written: weights, cache and attention rows, once for each batch and token."""
    mean = sum(job.lengths) / len(job.lengths) / max(job.lengths)
    unheard = job.kind != "detection" and joins(job.shape)
    rows = 0 if unheard else job.rows * job.shape.heads * max(job.lengths) * 4 * ROW_COPIES * len(job.shape.layers)
    return decode_calls(job) * (memory.weights + mean * (memory.cache + rows))


def decode_calls(job: Job) -> int:
    """Forward calls of one token while answers are written, one batch of head sets after another, at most."""
    each = job.cells / len(job.lengths) * job.max_new_tokens
    if job.kind != "masked_all":
        return round(each * len(job.lengths) * -(-job.sets // job.batch))
    return round(sum(each * -(-job.sets // own_rows(length, job.batch)) for length in job.lengths))


def _count(some: Iterable[tuple[int, int]]) -> int:
    return sum(end - start for start, end in some)


def _disk_bytes(job: Job) -> int:
    heads = sum(layer.attention.heads for layer in job.shape.layers if layer.attention)
    # Side files and the merged table, which is packed to about a third.
    scores = job.cells * heads * (job.columns + 1) * SCORE_BYTES * 4 // 3
    return scores if job.sets == 1 else job.cells * job.sets * RUN_BYTES * 2


def refusals(rows: Sequence[dict]) -> list[str]:
    """One line for every job that cannot run."""
    return [f"models.{row['model']}, {row['rule']}: {row['refused']}" for row in rows if row["refused"]]
