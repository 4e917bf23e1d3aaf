"""The header of a GGUF file (llama.cpp's format of one file a model): what it says, and whether the file is whole.

Light on purpose (standard library): the Snakefile reads local files with it before any job starts. Weights are read by
the package `gguf` (`retrieval_heads.sources.gguf.checkpoint`). Format: https://github.com/ggml-org/ggml, docs/gguf.md.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

# In a checkpoint that was converted from a GGUF file: what that file was.
RECORD = "gguf.json"
MAGIC = b"GGUF"
VERSIONS = (2, 3)
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# Longest name or key that is read; a file that names a longer one is damaged.
LONGEST_NAME = 1 << 16

# Type of a tensor -> name, weights in a block, bytes of a block (ggml.h); the first number in a name is its bits.
TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
}

REMEDY = "take the model's own checkpoint (models.*.hub) or another file"
# Families that are read: one layout of tensors each, dense, with every setting in the file or the same for all.
# ASSUME: transformers 5.23. Others of its list keep settings elsewhere (Gemma's attention scale) or merge tensors.
FAMILIES = ("llama", "qwen2", "qwen3", "gemma3")


class GgufError(ValueError):
    """A GGUF file that cannot be used; the message names the key, the reason and the remedy."""


@dataclass(frozen=True)
class Tensor:
    """One tensor: its shape (fastest dimension first, as in the file), the number of its type, its first byte."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int


@dataclass(frozen=True)
class Header:
    """Everything in front of the weights. values: key -> scalar or text; of an array its number of elements."""

    values: Mapping[str, Any]
    arrays: frozenset[str]
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        """The family, as llama.cpp calls it."""
        return self.values["general.architecture"]

    def quantization(self) -> dict[str, Any]:
        """How the weights are stored: `types` (type -> weights), `weights` (the type of most) and its `bits`."""
        types: Counter[str] = Counter()
        for tensor in self.tensors:
            types[TYPES[tensor.type][0]] += prod(tensor.shape)
        most = types.most_common(1)[0][0]
        return {"weights": most, "bits": _bits(most), "types": dict(types.most_common())}


def read_header(file: Path, key: str) -> Header:
    """The header of `file`; raises `GgufError`, naming the config's `key`, when the file is no GGUF or not whole."""
    with open(file, "rb") as stream:
        try:
            return _read(stream, file, key)
        except (struct.error, EOFError, UnicodeDecodeError):
            raise _cut_short(file, key) from None


def refuse_unread(header: Header, file: Path, key: str) -> None:
    """Raise `GgufError` for a family that is not read, and for one in several files."""
    if header.architecture not in FAMILIES:
        raise GgufError(
            f"{key}: '{file}' is of architecture '{header.architecture}'; read are {', '.join(FAMILIES)}; {REMEDY}"
        )
    if header.values.get("split.count", 1) not in (0, 1):
        raise GgufError(
            f"{key}: '{file}' is one of {header.values['split.count']} parts; merge them with llama-gguf-split"
        )


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def said_in_label(label: str, quantization: Mapping[str, Any] | None) -> str:
    """A model's label, with the bits of its weights where they are quantised and the label does not say so itself."""
    if not quantization or quantization["bits"] >= 16 or f"{quantization['bits']}-bit" in label:
        return label
    return f"{label}, {quantization['bits']}-bit weights"


def _bits(name: str) -> int:
    return int("".join(filter(str.isdigit, name.split("_")[0])))


def _read(stream: BinaryIO, file: Path, key: str) -> Header:
    if stream.read(4) != MAGIC:
        raise GgufError(f"{key}: '{file}' is no GGUF file (it does not begin with 'GGUF'); name the model's .gguf file")
    version, tensor_count, value_count = _numbers(stream, "IQQ")
    if version not in VERSIONS:
        raise GgufError(
            f"{key}: '{file}' is GGUF version {version}, and {VERSIONS} are read; convert it again with llama.cpp"
        )
    values: dict[str, Any] = {}
    arrays = set()
    for _ in range(value_count):
        name = _text(stream, LONGEST_NAME)
        (kind,) = _numbers(stream, "I")
        values[name] = _value(stream, kind)
        if kind == ARRAY:
            arrays.add(name)
    tensors = tuple(_tensor(stream) for _ in range(tensor_count))
    header = Header(values, frozenset(arrays), tensors)
    if not isinstance(values.get("general.architecture"), str):
        raise GgufError(f"{key}: '{file}' does not name its architecture; convert it again with llama.cpp")
    _require_whole(header, stream, file, key)
    return header


def _require_whole(header: Header, stream: BinaryIO, file: Path, key: str) -> None:
    """The last tensor must end inside the file: a download that was cut short has a good header."""
    alignment = header.values.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1:
        raise GgufError(f"{key}: '{file}' aligns its tensors by {alignment!r}: it is damaged; fetch the file again")
    data = -(-stream.tell() // alignment) * alignment
    size = file.stat().st_size
    for tensor in header.tensors:
        if tensor.type not in TYPES:
            raise GgufError(
                f"{key}: '{file}' stores tensor '{tensor.name}' as type {tensor.type}, which cannot be read; take a "
                "file with another quantisation (Q4_K_M and Q8_0 can be read)"
            )
        _, block, size_of_block = TYPES[tensor.type]
        if data + tensor.offset + prod(tensor.shape) // block * size_of_block > size:
            raise _cut_short(file, key)


def _cut_short(file: Path, key: str) -> GgufError:
    return GgufError(
        f"{key}: '{file}' ends before its last tensor ({file.stat().st_size} bytes): it is cut short or damaged; "
        "fetch the file again"
    )


def _numbers(stream: BinaryIO, form: str) -> tuple:
    return struct.unpack(f"<{form}", stream.read(struct.calcsize(f"<{form}")))


def _text(stream: BinaryIO, longest: int | None = None) -> str:
    (length,) = _numbers(stream, "Q")
    if longest and length > longest:
        raise EOFError
    _require_left(stream, length)
    return stream.read(length).decode("utf-8")


def _require_left(stream: BinaryIO, length: int) -> None:
    """A damaged length may be beyond all memory, and beyond what a place in a file can be."""
    if length > os.fstat(stream.fileno()).st_size - stream.tell():
        raise EOFError


def _skip(stream: BinaryIO, length: int) -> None:
    _require_left(stream, length)
    stream.seek(length, 1)


def _value(stream: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _text(stream)
    if kind != ARRAY:
        return _numbers(stream, SCALARS[kind])[0] if kind in SCALARS else _damaged()
    inner, count = _numbers(stream, "IQ")
    if inner == STRING:
        for _ in range(count):
            (length,) = _numbers(stream, "Q")
            _skip(stream, length)
    elif inner in SCALARS:
        _skip(stream, count * struct.calcsize(SCALARS[inner]))
    else:
        _damaged()
    return count


def _damaged() -> None:
    raise EOFError


def _tensor(stream: BinaryIO) -> Tensor:
    name = _text(stream, LONGEST_NAME)
    (dimensions,) = _numbers(stream, "I")
    if dimensions > 8:
        raise EOFError
    shape = _numbers(stream, "Q" * dimensions)
    kind, offset = _numbers(stream, "IQ")
    return Tensor(name, shape, kind, offset)
