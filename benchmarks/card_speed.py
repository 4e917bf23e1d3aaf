"""How fast a card is: a Llama-2-7B of random weights against what the machine can do, and the paper's grid."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import torch
from floor import ANSWER, STEPS, Clock, copy_rate, filled, product_rate
from random_models import random_llama

from retrieval_heads.costs.job import Job
from retrieval_heads.costs.memory import VALUE_BYTES, job_memory, weight_bytes
from retrieval_heads.costs.plan import spans
from retrieval_heads.costs.shape import read_shape
from retrieval_heads.detection.scores import Probe
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import feed
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.masking import niah
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models.loading import Loaded
from retrieval_heads.models.usage import peak_bytes
from retrieval_heads.prompts.cells import Cell, Prompt

# Shape, prompt lengths, and sizes and draws of a masking curve: a card of 80 GB, and a try on a CPU.
FULL = ("llama-2-7b", "bfloat16", (1000, 10000, 50000), (8, 10))
SMALL = ("small", "float32", (64, 128), (2, 2))
# What is wanted on a card: least share of products and copies, largest share of the probe, minutes, ratio of a curve.
PRODUCTS, PROBE, MINUTES, CURVE, MEMORY = 0.5, 0.02, 15, 1.5, 0.1


def rows(device: str, small: bool) -> Iterator[tuple]:
    """A row for each length and what follows from them."""
    shape_name, dtype, lengths, curve = SMALL if small else FULL
    on_card, clock = device != "cpu", Clock(device)
    rates = product_rate(clock, device, getattr(torch, dtype)), copy_rate(clock, device)
    yield "the machine", f"products {rates[0] / 1e12:.3g} TFLOP/s {dtype}, copies {rates[1] / 1e9:.4g} GB/s", "", None
    loaded = random_llama(shape_name, max(lengths) + ANSWER, device, dtype)
    filled(loaded, [0] * 64)  # the first call allocates and compiles
    efficiency = step = 0.0
    for tokens in lengths:
        for case, found, wanted, right, *numbers in measured(loaded, tokens, clock, rates):
            yield case, found, wanted, right if on_card else None
            efficiency, step = numbers or (efficiency, step)
    yield predicted_grid(loaded, lengths, efficiency * rates[0], step, on_card)
    yield masking_curve(loaded, lengths[1], clock, curve, on_card)


def measured(loaded: Loaded, tokens: int, clock: Clock, rates: tuple[float, float]) -> Iterator[tuple]:
    """Prefill, decoding, the probe and memory at one length; the first row also gives what the grid follows from."""
    ids, card = random_ids(loaded, tokens), clock.device != "cpu"
    shape, dtype = read_shape(loaded.model.config.to_dict()), loaded.info.dtype
    if card:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    whole = clock(lambda: filled(loaded, ids))
    cache = filled(loaded, ids[: tokens // 2])
    second = clock(lambda: feed(loaded, cache, [ids[tokens // 2 :]]))
    plain = min(clock(lambda: forward(loaded, [[0]], cache)) for _ in range(STEPS))
    cache.crop(-STEPS)
    before = max(peak_bytes(loaded).values())
    with branched(loaded, cache, listeners=[Probe(loaded.info, (tokens // 2, tokens // 2 + 20))]) as branch:
        probed = min(clock(lambda: forward(loaded, [[0]], branch)) for _ in range(STEPS))
    peak = max(peak_bytes(loaded).values())
    share = shape.prefill_flops(0, tokens) / whole / rates[0]
    behind = shape.prefill_flops(tokens // 2, tokens) / second / rates[0]
    told = f"{whole:.3f} s, {share:.0%} of products; second half {second:.3f} s, {behind:.0%}"
    least = PRODUCTS if tokens >= 50000 else None
    right = None if least is None else share >= least
    yield f"{tokens:,} tokens, prefill", told, f"{least:.0%}" if least else "", right, share, plain
    read = weight_bytes(shape, dtype) + VALUE_BYTES[dtype] * shape.cached(tokens)
    yield f"{tokens:,} tokens, a step", f"{plain * 1e3:.1f} ms, {read / plain / rates[1]:.0%} of copies", "", None
    added = ANSWER * (probed - plain) / (whole + ANSWER * plain)
    told = f"{probed * 1e3:.1f} ms a step, {added:+.1%} of a cell's time, peak {peak / before - 1:+.1%}"
    yield f"{tokens:,} tokens, the probe", told, f"at most {PROBE:.0%} of the time", added <= PROBE
    predicted = job_memory(shape, dtype, None, tokens, kernel=loaded.info.kernel, kind="means").total
    told = f"peak {before / 1e9:.2f} GB, planned {predicted / 1e9:.2f}"
    yield f"{tokens:,} tokens, memory", told, f"within {MEMORY:.0%}", abs(predicted / before - 1) <= MEMORY


def predicted_grid(loaded: Loaded, lengths, rate: float, step: float, on_card: bool) -> tuple:
    """The paper's 600 cells (20 lengths, 10 depths, 3 needles) at the rates of the longest prompt measured."""
    shape, longest = read_shape(loaded.model.config.to_dict()), max(lengths)
    job = Job(
        model="random",
        rule="detect_heads",
        shape=shape,
        dtype=loaded.info.dtype,
        quantization=None,
        needles=3,
        haystacks=3,
        lengths=tuple(longest * (n + 1) // 20 for n in range(20)),
        depths=tuple(round(100 * n / 9) for n in range(10)),
        reserve_tokens=min(128, longest // 40),
        max_new_tokens=ANSWER,
        window=None,
    )
    flops = sum(shape.prefill_flops(*span) for span in spans(job) if span[1] > span[0])
    minutes = (flops / rate + job.cells * ANSWER * step) / 60
    told = f"{job.cells} cells up to {longest:,} tokens: {minutes:.1f} min, every answer {ANSWER} steps long"
    return "the paper's grid, predicted", told, f"at most {MINUTES} min", minutes <= MINUTES if on_card else None


def masking_curve(loaded: Loaded, tokens: int, clock: Clock, curve: tuple[int, int], on_card: bool) -> tuple:
    """All sizes and draws of a masking curve on one cell, against the cell unmasked."""
    ids, draw = random_ids(loaded, tokens), random.Random(1)
    start = tokens // 2
    cell = Cell("needle", "haystack", tokens, 50, start, start + 20, start + 5, start + 20, tokens - 30, tokens)
    prompt = Prompt(tuple(ids), cell)
    heads = [(layer, head) for layer in loaded.info.attention_layers for head in range(loaded.info.heads[layer])]
    names = [(size, number) for size in range(1, curve[0] + 1) for number in range(curve[1])]
    sets = {f"{size}-{number}": HeadMask(tuple(draw.sample(heads, size))) for size, number in names}
    options = {"max_new_tokens": ANSWER, "decode_batch": 64}
    alone = clock(lambda: list(niah.run(loaded, [prompt], {"unmasked": None}, **options)))
    everything = clock(lambda: list(niah.run(loaded, [prompt], {"unmasked": None, **sets}, **options)))
    ratio = everything / alone
    told = f"{len(sets) + 1} head sets {everything:.2f} s, unmasked alone {alone:.2f} s: {ratio:.2f} times"
    right = ratio <= CURVE if on_card else None
    return f"a masking curve at {tokens:,} tokens", told, f"at most {CURVE} times", right


def random_ids(loaded: Loaded, tokens: int) -> list[int]:
    """Random tokens that end no answer."""
    draw = random.Random(tokens)
    return [draw.randrange(10, loaded.model.config.vocab_size) for _ in range(tokens)]


if __name__ == "__main__":
    sys.exit("python benchmarks/card.py runs this")
