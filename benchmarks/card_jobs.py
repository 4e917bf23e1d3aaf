"""What jobs meet on a card: memory that runs out, and other jobs at the same time."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from card_checks import prompts
from random_models import ORGANISM, ROOT

from retrieval_heads.detection.detector import detect
from retrieval_heads.masking import niah
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models import loading
from retrieval_heads.models.usage import ran_on


def halved(device: str) -> Iterator[tuple]:
    """Head sets that do not fit side by side are asked in smaller batches, with the same answers."""
    loaded = loading.load(str(ORGANISM), dtype="float32", device=device)
    cells = prompts(loaded.tokenizer, lengths=(512,), depths=(50,))
    layers, heads = loaded.info.layers, loaded.info.max_heads
    sets = {str(n): HeadMask(((n % layers, n % heads),), scope="all") for n in range(16)}
    wanted = [run.responses for run in niah.run(loaded, cells, sets, max_new_tokens=10, decode_batch=2)]
    warnings: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())
    logging.getLogger("retrieval_heads").addHandler(handler)
    with little_room(loaded, device, lambda: list(niah.run(loaded, cells, sets, max_new_tokens=10, decode_batch=4))):
        found = [run.responses for run in niah.run(loaded, cells, sets, max_new_tokens=10, decode_batch=16)]
    logging.getLogger("retrieval_heads").removeHandler(handler)
    told = f"{len(warnings)} times halved, answers equal {found == wanted}"
    yield "16 head sets, scope all", told, "halved at least once, equal answers", bool(warnings) and found == wanted


@contextmanager
def little_room(loaded, device: str, fitting) -> Iterator[None]:
    """On a card, half as much memory again as `fitting` takes; on the CPU a model that refuses more than 4 rows."""
    if device == "cpu":

        def refuse(module, args, options):
            if options["input_ids"].shape[0] > 4:
                raise torch.OutOfMemoryError("CUDA out of memory (a stand-in)")

        handle = loaded.model.base_model.register_forward_pre_hook(refuse, with_kwargs=True)
        yield
        handle.remove()
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    fitting()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.5 * torch.cuda.max_memory_reserved() / total))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def short_job(device: str) -> str:
    """What a job of its own process saw: JSON with its cards, when it began and ended, and what it ran on."""
    loaded = loading.load(str(ORGANISM), dtype="float32", device=device)
    started = time.time()
    list(detect(loaded, prompts(loaded.tokenizer, lengths=(256, 512)), max_new_tokens=30))
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return json.dumps({"cards": seen, "started": started, "ended": time.time(), "ran_on": ran_on(loaded)})


def two_jobs(device: str, args) -> Iterator[tuple]:
    """Two processes at once: on two cards each has its own, on one they take turns, without a card both run."""
    command = [sys.executable, str(ROOT / "benchmarks/card.py"), "--device", device]
    count = 0 if device == "cpu" else torch.cuda.device_count()
    with tempfile.TemporaryDirectory() as locks:
        # Stand-ins for cards where there is none.
        environment = os.environ | ({"CUDA_VISIBLE_DEVICES": "0,1"} if count == 0 else {})
        running = [
            subprocess.Popen([*command, "--job", locks], stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(2)
        ]
        told = [json.loads(job.communicate(timeout=300)[0].splitlines()[-1]) for job in running]
    cards = sorted(job["cards"] for job in told)
    apart = len(set(cards)) == 2 if count != 1 else True
    yield (
        "cards",
        f"{cards}; {told[0]['ran_on'].split(',')[0]}",
        "different cards" if count != 1 else "taking turns",
        apart,
    )
