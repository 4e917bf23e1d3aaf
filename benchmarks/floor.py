"""The engine against what the machine can do: prefill against matrix products, single steps against copied bytes.

    python benchmarks/floor.py                                                    a random Llama, 27 M parameters
    python benchmarks/floor.py --shape llama-2-7b --dtype bfloat16 --lengths 1000 10000 50000      on a card
    python benchmarks/floor.py --model CHECKPOINT --lengths 512 1024 2048 4096     a folder or a GGUF file

Both rates are measured in the same run: the best of several products of two square matrices, and the best of several
copies. FLOP and bytes are those that the plan counts (docs/costs.md).
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from random_models import SHAPES, checkpoint, random_llama
from transformers.cache_utils import DynamicCache

from retrieval_heads.costs.memory import VALUE_BYTES, job_memory, weight_bytes
from retrieval_heads.costs.shape import read_shape
from retrieval_heads.detection.scores import Probe
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import feed
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.models.loading import Loaded

# Tokens of an answer, as the default config allows.
ANSWER = 50
# Single steps that are timed.
STEPS = 10
TABLES = (
    ("prompt tokens", "TFLOP", "whole, s", "share of products", "second half, s", "share of products"),
    ("prompt tokens", "GB read", "step, ms", "share of copies", "with the probe, ms", "it adds to a cell"),
    ("prompt tokens", "predicted, GB", "peak, GB", "the probe adds"),
)


class Clock:
    """Seconds of a call: on a card, of its work done; on a CPU those of one thread, so that other jobs count little."""

    def __init__(self, device: str):
        self.device = device

    def __call__(self, work: Callable[[], object]) -> float:
        if self.device == "cpu":
            started = time.process_time()
            work()
            return (time.process_time() - started) / torch.get_num_threads()
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    @staticmethod
    def _wait() -> None:
        torch.cuda.synchronize()


def product_rate(clock: Clock, device: str, dtype: torch.dtype) -> float:
    """FLOP a second of a large matrix product."""
    size = 2048 if device == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / min(clock(lambda: left @ right) for _ in range(10))


def copy_rate(clock: Clock, device: str) -> float:
    """Bytes a second, read and written, of a copy far larger than any cache."""
    source = torch.ones(2**28 if device == "cpu" else 2**32, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / min(clock(lambda: target.copy_(source)) for _ in range(10))


def filled(loaded: Loaded, ids: list[int]) -> DynamicCache:
    """The cache of a prompt."""
    cache = DynamicCache(config=loaded.model.config)
    feed(loaded, cache, [ids])
    return cache


def measure(loaded: Loaded, tokens: int, clock: Clock, rates: tuple[float, float]) -> list[list[str]]:
    """One row of each table, for a prompt of `tokens` random tokens. rates: FLOP and bytes a second."""
    draw = random.Random(tokens)
    ids = [draw.randrange(loaded.model.config.vocab_size) for _ in range(tokens)]
    half, card, number = tokens // 2, clock.device != "cpu", f"{tokens:,}"
    shape, dtype = read_shape(loaded.model.config.to_dict()), str(loaded.model.dtype).removeprefix("torch.")

    if card:
        torch.cuda.reset_peak_memory_stats()
    whole = clock(lambda: filled(loaded, ids))
    cache = filled(loaded, ids[:half])
    second = clock(lambda: feed(loaded, cache, [ids[half:]]))
    plain = min(clock(lambda: forward(loaded, [[0]], cache)) for _ in range(STEPS))
    cache.crop(-STEPS)
    peak = torch.cuda.max_memory_allocated() if card else 0
    with branched(loaded, cache, listeners=[Probe(loaded.info, (half, half + 20))]) as branch:
        probed = min(clock(lambda: forward(loaded, [[0]], branch)) for _ in range(STEPS))

    flop, second_flop = shape.prefill_flops(0, tokens), shape.prefill_flops(half, tokens)
    read = weight_bytes(shape, dtype) + VALUE_BYTES[dtype] * shape.cached(tokens)
    added = ANSWER * (probed - plain) / (whole + ANSWER * plain)
    prefill = [number, f"{flop / 1e12:.3g}", f"{whole:.2f}", f"{flop / whole / rates[0]:.0%}"]
    prefill += [f"{second:.2f}", f"{second_flop / second / rates[0]:.0%}"]
    step = [number, f"{read / 1e9:.3g}", f"{plain * 1e3:.1f}", f"{read / plain / rates[1]:.0%}"]
    step += [f"{probed * 1e3:.1f}", f"{added:+.1%}"]
    if not card:
        return [prefill, step]
    predicted = job_memory(shape, dtype, None, tokens, kernel=loaded.info.kernel).total
    grown = torch.cuda.max_memory_allocated() / peak - 1
    return [prefill, step, [number, f"{predicted / 1e9:.2f}", f"{peak / 1e9:.2f}", f"{grown:+.1%}"]]


def table(columns: tuple[str, ...], rows: Sequence[list[str]]) -> str:
    """Markdown."""
    return "".join(f"| {' | '.join(row)} |\n" for row in (columns, ["---"] * len(columns), *rows))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--model", type=Path, help="a checkpoint or a GGUF file instead of a shape")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1000, 4000, 16000])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32")
    return parser.parse_args()


def main() -> None:
    """Measure the rates, then every length, and print the table."""
    args = arguments()
    clock = Clock(args.device)
    if args.model:
        loaded = checkpoint(args.model, args.device, args.dtype)
    else:
        loaded = random_llama(args.shape, max(args.lengths) + ANSWER, args.device, args.dtype)
    rates = product_rate(clock, args.device, getattr(torch, args.dtype)), copy_rate(clock, args.device)
    filled(loaded, [0] * 64)  # the first call allocates and compiles
    rows = [measure(loaded, tokens, clock, rates) for tokens in args.lengths]
    where = f"{torch.get_num_threads()} of {os.cpu_count()} CPU cores" if args.device == "cpu" else args.device
    text = f"{where}, {args.dtype}, {loaded.info.kernel}: products {rates[0] / 1e12:.3g} TFLOP/s, "
    text += f"copies {rates[1] / 1e9:.3g} GB/s\n"
    for columns, part in zip(TABLES, zip(*rows, strict=True), strict=False):
        text += "\n" + table(columns, part)
    print(text)


if __name__ == "__main__":
    main()
