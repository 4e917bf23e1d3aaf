"""An archive checked against the SHA-256 values in its own metadata, and unpacked so that Snakemake can go on in it."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

METADATA = "ro-crate-metadata.json"


class ArchiveError(ValueError):
    """An archive that cannot be trusted; the message names the files, the reason and the remedy."""


def sha256(content: Path | bytes) -> str:
    """SHA-256 of a file or of bytes, in hexadecimal."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with open(content, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check(path: Path) -> dict[str, str]:
    """Name -> SHA-256 of every file of an archive; raises `ArchiveError` that lists every file that was changed.

    A file that the metadata does not list is a fault too, since nothing says what it should hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            graph = json.loads(archive.read(METADATA))["@graph"]
            known = {unquote(entity["@id"]): entity["sha256"] for entity in graph if "sha256" in entity}
            present = {entry.filename for entry in archive.infolist() if not entry.is_dir()} - {METADATA}
            changed = [name for name in sorted(known.keys() & present) if sha256(archive.read(name)) != known[name]]
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ArchiveError(f"{path} cannot be read as an archive of this workflow ({error}); fetch it again") from error
    faults = [f"{name} is changed" for name in changed]
    faults += [f"{name} is missing" for name in sorted(known.keys() - present)]
    faults += [f"{name} is not in the metadata" for name in sorted(present - known.keys())]
    if faults:
        raise ArchiveError(f"{path} was changed: {'; '.join(faults)}. Do not rely on it; fetch it again")
    return known


def unpack(path: Path, folder: Path, names: Iterable[str]) -> None:
    """Write files of an archive into `folder`, results a second younger than all else.

    Where a result were not younger than what it was made from, Snakemake would make it again.
    """
    made, now = time.time() - 1, time.time()
    with zipfile.ZipFile(path) as archive:
        for name in names:
            file = Path(archive.extract(name, folder))
            when = now if name.startswith("results/") else made
            os.utime(file, (when, when))
