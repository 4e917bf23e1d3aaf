"""Finished cells as side files, so that a job that dies loses nothing.

A cell is a file `<cell>.json` with the key that says what it depends on and, where it has one, a table `<cell>.tsv`.
Both are written under a temporary name and renamed, the JSON file last: a cell is done when its JSON file is there and
carries the key that is asked for. Each record names the machine that computed it by the digest of
`machine_<digest>.json`, beside the folder: a study that was interrupted may have gone on elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import pandas as pd

from retrieval_heads.running.provenance import machine


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees either the old one or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class CellStore:
    """The finished cells of one job, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def record(self, name: str, key: str) -> dict | None:
        """What was stored for a cell, or None where it is missing or depends on something else."""
        try:
            record = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return record if record.get("key") == key else None

    def table(self, name: str) -> pd.DataFrame:
        """The table of a finished cell."""
        return pd.read_csv(self.folder / f"{name}.tsv", sep="\t")

    def write(self, name: str, key: str, record: Mapping, table: pd.DataFrame | None = None) -> None:
        """Store one cell; the record goes last."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)
        if table is not None:
            write_atomically(self.folder / f"{name}.tsv", table.to_csv(sep="\t", index=False, float_format="%.6g"))
        write_atomically(
            self.folder / f"{name}.json", json.dumps({"key": key, **record, "machine": self.machine}, indent=1)
        )

    @cached_property
    def machine(self) -> str:
        """Digest of this machine's record, which is written when the first cell is (a model has been loaded then)."""
        text = json.dumps(machine(), indent=1, sort_keys=True) + "\n"
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        write_atomically(self.folder.parent / f"machine_{digest}.json", text)
        return digest
