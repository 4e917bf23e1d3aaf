"""What stands in the header of a safetensors file: names, types and places of its tensors, read without a weight."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from retrieval_heads.models.checkpoint.files import deciding_files

# Types of whole numbers. Truth values are masks, never weights.
INTEGERS = frozenset({"I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64"})


def tensors_in(file: Path) -> Mapping[str, Mapping[str, Any]] | None:
    """Name -> `dtype`, `shape`, `data_offsets`; None where the file is not as long as its header says, or has none."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(8)
        if len(head) < 8 or (length := struct.unpack("<Q", head)[0]) > size - 8:
            return None
        try:
            tensors = json.loads(stream.read(length))
            tensors.pop("__metadata__", None)
            ends = [int(entry["data_offsets"][1]) for entry in tensors.values()]
        except (ValueError, RecursionError, AttributeError, TypeError, KeyError, IndexError):
            return None
    return tensors if size == 8 + length + max(ends, default=0) else None


def whole_number_tensors(folder: Path) -> Iterator[str]:
    """The names of the tensors of a checkpoint folder that hold whole numbers."""
    for file in deciding_files(folder):
        if file.suffix == ".safetensors":
            yield from (name for name, told in (tensors_in(file) or {}).items() if told.get("dtype") in INTEGERS)
