"""Which GPUs a job may use when several jobs share one machine.

Snakemake counts how many GPU jobs run at a time, but does not say which card is whose. A job takes free cards by
locking one file a card, for as long as its process lives. Inside a cluster's allocation only its own cards are seen;
they are claimed too, for several jobs may share one allocation. Only the standard library is imported: cards must be
claimed before any library that can start CUDA is.
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

# Open files keep their locks: the cards are given back when the process ends, however it ends.
_held: list[int] = []


class CardError(ValueError):
    """Cards that a job needs and cannot have; the message names them and the remedy."""


def visible_cards(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The cards that this process may use, by index or UUID: CUDA_VISIBLE_DEVICES, else all that the driver lists."""
    if "CUDA_VISIBLE_DEVICES" in environment:
        named = [card.strip() for card in environment["CUDA_VISIBLE_DEVICES"].split(",")]
        return [card for card in named if card not in ("", "-1")]
    if shutil.which("nvidia-smi", path=environment.get("PATH")) is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    listed = subprocess.run(query, capture_output=True, text=True, check=False, env=dict(environment))
    return listed.stdout.split() if listed.returncode == 0 else []


def claim_cards(count: int, folder: Path | None = None, patience: float = 60.0) -> list[str]:
    """Take `count` free cards for this process and make only them visible. Call it before CUDA starts.

    folder: of the lock files, shared by all jobs and users of the machine. patience: seconds to wait for a card;
    Snakemake starts no more jobs than there are cards, so a wait means that another study runs here.
    Without a card nothing is changed. Raises `CardError` when there are too few cards, or none becomes free.
    """
    cards = visible_cards()
    if not cards or count < 1:
        return cards
    if count > len(cards):
        raise CardError(
            f"this job needs {count} cards, and {len(cards)} can be seen here ({', '.join(cards)}): set "
            "models.<name>.gpus or quantization, or run it where there are more"
        )
    folder = folder or Path(tempfile.gettempdir())
    deadline = time.monotonic() + patience
    mine: list[str] = []
    while len(mine) < count:
        for card in cards:
            if len(mine) < count and card not in mine and _lock(lock_file(folder, card)):
                mine.append(card)
        if len(mine) < count and time.monotonic() > deadline:
            raise CardError(f"{count} of the GPUs {', '.join(cards)} are wanted and only {len(mine)} are free")
        if len(mine) < count:
            time.sleep(0.5)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    # The driver lists cards in the order of the bus; CUDA by itself counts the fastest first.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    return mine


def lock_file(folder: Path, card: str) -> Path:
    """The lock file of a card. In an allocation of Slurm cards are counted anew, so that its number belongs to it."""
    allocation = [os.environ[name] for name in ("SLURM_JOB_ID",) if name in os.environ]
    return folder / "-".join(["retrieval-heads-gpu", *allocation, f"{card}.lock"])


def _lock(path: Path) -> bool:
    try:
        file = _opened(path)
    except PermissionError as error:
        raise CardError(
            f"the lock file of a card cannot be opened ({error}): remove '{path}', which another user left unreadable, "
            "or set TMPDIR to a folder that all users of this machine share"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    _held.append(file)
    return True


def _opened(path: Path) -> int:
    """A file to be locked, which may belong to another user: a lock needs no right to write.

    Linux lets nobody open another user's file in /tmp with O_CREAT, so that a file which is there is opened without.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        pass
    try:
        file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    # Whatever the umask of this user: others must be able to read it.
    os.fchmod(file, 0o644)
    return file
