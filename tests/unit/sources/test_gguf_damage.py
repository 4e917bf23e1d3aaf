"""Damaged GGUF files end in one sentence, whatever byte is wrong, and without taking the memory that a length names."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from retrieval_heads.sources.gguf.header import GgufError, read_header, refuse_unread

KEY = "models.mine.gguf"
TEXT, WHOLE, TEXTS = 8, 4, 9


def text(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def value(name: bytes, kind: int, content: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + content


def whole(name: bytes, number: int) -> bytes:
    return value(name, WHOLE, struct.pack("<I", number))


NAMED = value(b"general.architecture", TEXT, text(b"llama"))
TOKENS = value(b"tokenizer.ggml.tokens", TEXTS, struct.pack("<IQ", TEXT, 3) + text(b"a") + text(b"bc") + text(b""))
SCORES = value(b"tokenizer.ggml.scores", TEXTS, struct.pack("<IQ", 6, 3) + bytes(12))


def write(file: Path, *values: bytes) -> bytes:
    """A file of these values and two small tensors."""
    tensors = b"".join(
        text(name) + struct.pack("<I2QIQ", 2, 4, 2, 0, offset) for name, offset in ((b"a.weight", 0), (b"b.weight", 32))
    )
    content = b"GGUF" + struct.pack("<IQQ", 3, 2, len(values)) + b"".join(values) + tensors
    content += bytes(-len(content) % 32) + bytes(64)
    file.write_bytes(content)
    return content


def read(file: Path) -> None:
    refuse_unread(read_header(file, KEY), file, KEY)


def test_any_wrong_byte_ends_in_a_sentence_or_in_another_header(tmp_path):
    file = tmp_path / "tiny.gguf"
    content = write(file, NAMED, TOKENS, SCORES, whole(b"general.alignment", 32), whole(b"split.count", 1))
    read(file)
    generator, refused = random.Random(0), 0
    for _ in range(2000):
        damaged = bytearray(content)
        damaged[generator.randrange(4, len(content) - 64)] = generator.randrange(256)
        file.write_bytes(damaged)
        try:
            read(file)
        except GgufError as error:
            assert str(error).startswith(f"{KEY}: ") and "\n" not in str(error)
            refused += 1
    assert refused > 500


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([NAMED, whole(b"general.alignment", 0)], "aligns its tensors by 0: it is damaged"),
        ([NAMED, value(b"general.alignment", TEXT, text(b"32"))], "aligns its tensors by '32'"),
        ([NAMED, value(b"split.count", TEXT, text(b"2"))], "is one of 2 parts"),
        ([whole(b"general.architecture", 3)], "does not name its architecture"),
        ([NAMED, value(b"x", TEXT, struct.pack("<Q", 1 << 62))], "cut short or damaged"),
        ([NAMED, value(b"x", TEXTS, struct.pack("<IQ", 6, (1 << 64) - 1))], "cut short or damaged"),
    ],
)
def test_values_of_another_kind_are_refused(tmp_path, values, message):
    write(tmp_path / "tiny.gguf", *values)
    with pytest.raises(GgufError, match=message):
        read(tmp_path / "tiny.gguf")
