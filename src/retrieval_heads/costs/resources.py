"""What a detection or masking job costs: memory, 80 GB cards, time. Formulas and what was measured: docs/costs.md.

Pure Python on purpose: Snakemake asks for resources before any job runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from retrieval_heads.costs.layers import CostError
from retrieval_heads.costs.memory import NEW_TOKENS, Memory, job_memory, weight_bytes
from retrieval_heads.costs.shape import read_shape

CARD_BYTES = 80 * 10**9
# Of a card: CUDA context, kernels' work space, what the allocator cannot use (ASSUME, not measured).
CARD_RESERVE = 5 * 10**9
# A process that has imported torch and transformers, and on the host of a card CUDA's share (ASSUME for the card).
CPU_BASE, CARD_HOST_BASE = 525 * 10**6, 6 * 10**9
# FLOP/s that a job is given time for: a third of an A100's bfloat16 peak; a CPU of two threads in float32.
CARD_RATE, CPU_RATE = 1.0e14, 2.0e10
# Bytes a second that answers are written at: half of an A100's (ASSUME); a CPU's memory under one or two threads.
CARD_BANDWIDTH, CPU_BANDWIDTH = 1.0e12, 5.0e9
LOADING_MINUTES_PER_GB, LEAST_MINUTES, SAFETY = 0.1, 15, 2


def cards_needed(memory: Memory, layers: int) -> int:
    """80 GB cards over which the layers are spread; what is spread falls unevenly by up to one layer a card.

    Raises `CostError` when even one layer a card does not fit.
    """
    spread = memory.weights + memory.cache + memory.grown
    each = max(memory.activations, memory.rows)
    room = CARD_BYTES - CARD_RESERVE - each
    for cards in range(1, layers + 1):
        uneven = spread / layers if cards > 1 else 0
        if spread / cards + uneven <= room:
            return cards
    raise CostError(f"{(spread + each) / 1e9:.0f} GB do not fit on {layers} cards of 80 GB, one layer on each")


def job_resources(
    config: Mapping[str, Any],
    dtype: str,
    quantization: str | None,
    longest: int,
    tokens: int,
    cards: int | None = None,
    rows: int = 1,
    kind: str = "masked",
    calls: int = 0,
    prompts: int = 1,
    keep_weights: bool = False,
    new_tokens: int = NEW_TOKENS,
) -> dict[str, int]:
    """gpus (80 GB cards), mem_mb (host memory) and runtime_min of a job that prefills `tokens` tokens in all.

    config: a config.json. longest: tokens of the longest prompt. cards: None for as many as are needed, 0 for a job on
    the CPU, whose host memory then holds everything. rows, kind, prompts, keep_weights, new_tokens: see
    `memory.job_memory`.
    tokens: those of all head sets, where each prefills for itself. calls: forward calls of one token in which answers
    are written. The time is a limit for a scheduler: twice the expected one at a low rate.
    """
    shape = read_shape(config)
    held = {"prompts": prompts, "keep_weights": keep_weights, "new_tokens": new_tokens}
    memory = job_memory(shape, dtype, quantization, longest, rows, kind=kind, **held)
    gpus = cards_needed(memory, len(shape.layers)) if cards is None else cards
    host = CARD_HOST_BASE + memory.weights if gpus else CPU_BASE + memory.total
    rate, bandwidth = (CARD_RATE, CARD_BANDWIDTH) if gpus else (CPU_RATE, CPU_BANDWIDTH)
    seconds = tokens * shape.prefill_flops(0, longest) / longest / rate
    seconds += calls * (memory.weights + memory.cache) / bandwidth
    minutes = seconds / 60 + memory.weights / 1e9 * LOADING_MINUTES_PER_GB
    return {
        "gpus": gpus,
        "mem_mb": math.ceil(host / 1e6),
        "runtime_min": math.ceil(LEAST_MINUTES + SAFETY * minutes),
    }


def export_resources(config: Mapping[str, Any], dtype: str) -> dict[str, int]:
    """mem_mb and runtime_min of a job that loads a model on the CPU, changes its weights and writes them."""
    weights = weight_bytes(read_shape(config), dtype)
    minutes = weights / 1e9 * 2 * LOADING_MINUTES_PER_GB
    return {
        "mem_mb": math.ceil((CPU_BASE + weights) / 1e6),
        "runtime_min": math.ceil(LEAST_MINUTES + SAFETY * minutes),
    }
