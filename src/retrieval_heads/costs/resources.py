"""What a detection or masking job costs: memory, 80 GB cards, time. Formulas and what was measured: docs/costs.md.

Pure Python on purpose: Snakemake asks for resources before any job runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from retrieval_heads.costs.layers import CostError
from retrieval_heads.costs.memory import Memory, job_memory
from retrieval_heads.costs.shape import read_shape

CARD_BYTES = 80 * 10**9
# Of a card: CUDA context, kernels' work space, what the allocator cannot use (ASSUME, not measured).
CARD_RESERVE = 5 * 10**9
# A process that has imported torch and transformers, and on the host of a card CUDA's share (ASSUME for the card).
CPU_BASE, CARD_HOST_BASE = 525 * 10**6, 6 * 10**9
# FLOP/s that a job is given time for: a third of an A100's bfloat16 peak; a CPU of two threads in float32.
CARD_RATE, CPU_RATE = 1.0e14, 2.0e10
LOADING_MINUTES_PER_GB, LEAST_MINUTES, SAFETY = 0.1, 15, 2


def cards_needed(memory: Memory, layers: int) -> int:
    """80 GB cards over which the layers are spread; what is spread falls unevenly by up to one layer a card.

    Raises `CostError` when even one layer a card does not fit.
    """
    spread, each = memory.weights + memory.cache, max(memory.activations, memory.rows)
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
    detection: bool = False,
    prompts: int = 1,
    keep_weights: bool = False,
) -> dict[str, int]:
    """gpus (80 GB cards), mem_mb (host memory) and runtime_min of a job that prefills `tokens` tokens in all.

    config: a config.json. longest: tokens of the longest prompt. cards: None for as many as are needed, 0 for a job on
    the CPU, whose host memory then holds everything. rows: head sets decoded side by side. detection: short
    prompts are answered side by side. prompts, keep_weights: see `job_memory`. The time is a limit for a scheduler:
    twice the expected one at a low rate.
    """
    shape = read_shape(config)
    memory = job_memory(
        shape, dtype, quantization, longest, rows, detection=detection, prompts=prompts, keep_weights=keep_weights
    )
    gpus = cards_needed(memory, len(shape.layers)) if cards is None else cards
    host = CARD_HOST_BASE + memory.weights if gpus else CPU_BASE + memory.total
    flops = tokens * shape.prefill_flops(0, longest) / longest
    minutes = flops / (CARD_RATE if gpus else CPU_RATE) / 60 + memory.weights / 1e9 * LOADING_MINUTES_PER_GB
    return {
        "gpus": gpus,
        "mem_mb": math.ceil(host / 1e6),
        "runtime_min": math.ceil(LEAST_MINUTES + SAFETY * minutes),
    }
