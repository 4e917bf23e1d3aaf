"""What a job ran on and what it took: kernel, dtype, cards, peak memory, tokens a second; for its log."""

from __future__ import annotations

import logging
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from retrieval_heads.models.loading import Loaded


def seconds_now(loaded: Loaded) -> float:
    """A clock that waits for the cards: what was asked of them has been done when it is read."""
    for device in _cards(loaded):
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_bytes(loaded: Loaded) -> dict[str, int]:
    """Device -> most bytes of tensors since the last reset, on cards; on the CPU those of the whole process."""
    if cards := _cards(loaded):
        return {str(device): torch.cuda.max_memory_allocated(device) for device in cards}
    return {"cpu": peak_of_process()}


def peak_of_process() -> int:
    """Most bytes of memory that this process has had.

    `ru_maxrss` is at least what the process that started this one had, and is read only where there is no /proc.
    """
    status = Path("/proc/self/status")
    if status.exists():
        [peak] = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(peak) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Usage:
    """Counts the tokens that went through a model."""

    def __init__(self) -> None:
        self.tokens = 0

    def add(self, tokens: int) -> None:
        """Count tokens that were prefilled or emitted."""
        self.tokens += tokens


@contextmanager
def logged_usage(loaded: Loaded, logger: logging.Logger) -> Iterator[Usage]:
    """Log what the model runs on, and, when the block ends, however it ends, what it took."""
    for device in _cards(loaded):
        torch.cuda.reset_peak_memory_stats(device)
    logger.info("%s", ran_on(loaded))
    usage, started = Usage(), seconds_now(loaded)
    try:
        yield usage
    finally:
        seconds = seconds_now(loaded) - started
        peaks = ", ".join(f"{device} {size / 2**20:.0f} MiB" for device, size in peak_bytes(loaded).items())
        logger.info(
            "Peak memory: %s; %d tokens in %.1f s, %.0f a second", peaks, usage.tokens, seconds, usage.tokens / seconds
        )


def ran_on(loaded: Loaded) -> str:
    """Kernel, dtype, cards and device map of a loaded model, in one line."""
    info, cards = loaded.info, [torch.cuda.get_device_name(device) for device in _cards(loaded)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
    return (
        f"Kernel {info.kernel}, rows by {info.row_kernel}, dtype {info.dtype}, cards {', '.join(cards) or 'none'} "
        f"(CUDA_VISIBLE_DEVICES {visible}), device map {_layers_by_device(loaded)}"
    )


def _layers_by_device(loaded: Loaded) -> str:
    placed = getattr(loaded.model, "hf_device_map", None) or {"": loaded.model.device}
    counted = Counter(str(device) for device in placed.values())
    return ", ".join(f"{device}: {count} of {len(placed)} modules" for device, count in counted.items())


def _cards(loaded: Loaded) -> list[torch.device]:
    devices = {parameter.device for parameter in loaded.model.parameters()}
    return sorted((device for device in devices if device.type == "cuda"), key=str)
