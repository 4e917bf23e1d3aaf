"""Which GPUs a job may use when several jobs share one machine.

Snakemake counts how many GPU jobs run at a time, but does not say which card is whose. A job takes free cards by
locking one file a card, for as long as its process lives. A cluster's scheduler has done this already.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

# Open files keep their locks: the cards are given back when the process ends, however it ends.
_held: list[IO] = []


def visible_cards(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The cards that this process may use, by index or UUID: CUDA_VISIBLE_DEVICES, else all that the driver lists."""
    if "CUDA_VISIBLE_DEVICES" in environment:
        named = [card.strip() for card in environment["CUDA_VISIBLE_DEVICES"].split(",")]
        return [card for card in named if card not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    listed = subprocess.run(query, capture_output=True, text=True, check=False)
    return listed.stdout.split() if listed.returncode == 0 else []


def claim_cards(count: int, folder: Path | None = None, patience: float = 60.0) -> list[str]:
    """Take `count` free cards for this process and make only them visible. Call it before CUDA starts.

    folder: of the lock files, shared by all jobs of the machine. patience: seconds to wait for a card; Snakemake
    starts no more jobs than there are cards, so a wait means that another study runs here.
    Without a card, or inside a cluster's job, nothing is changed. Raises TimeoutError when no card becomes free.
    """
    cards = visible_cards()
    if not cards or "SLURM_JOB_ID" in os.environ:
        return cards
    folder = folder or Path(tempfile.gettempdir())
    deadline = time.monotonic() + patience
    mine: list[str] = []
    while len(mine) < count:
        for card in cards:
            if len(mine) < count and card not in mine and _lock(folder / f"retrieval-heads-gpu-{card}.lock"):
                mine.append(card)
        if len(mine) < count and time.monotonic() > deadline:
            raise TimeoutError(f"{count} of the GPUs {', '.join(cards)} are wanted and only {len(mine)} are free")
        if len(mine) < count:
            time.sleep(0.5)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    return mine


def _lock(path: Path) -> bool:
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _held.append(file)
    return True
