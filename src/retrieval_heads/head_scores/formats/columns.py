"""What the formats share: JSON without surprises, keys "layer-head", and every head with its score."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrieval_heads.head_scores.scores import HeadScoreError

NUMBER = re.compile(r"0|[1-9][0-9]{0,5}")
# A copy score counts the copied tokens of at most some fifty emitted ones by those of an answer; others stay below 1.
HIGHEST = 100
# Of `detection.scores.SCORES`, those that count or add up attention; differences between two runs may be negative.
NEVER_NEGATIVE = ("copy_set", "copy_count", "copy_position", "attention_sum")


def read_text(path: Path) -> str:
    """A text file in UTF-8; raises `HeadScoreError` that says what else it is."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        raise HeadScoreError(f"{path}: compressed with gzip; unpack it")
    if b"\0" in content[:2]:
        raise HeadScoreError(f"{path}: not text in UTF-8 (zero bytes, as in UTF-16); save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HeadScoreError(
            f"{path}: not text in UTF-8 (byte {error.start} is 0x{content[error.start]:02x}); save it as UTF-8"
        ) from None


def parse(path: Path, text: str) -> Any:
    """JSON in which no key stands twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
            raise HeadScoreError(f"{path}: the key '{twice}' stands twice; write the file again, append nothing to it")
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise HeadScoreError(f"{path}: not JSON ({error}); was the file cut short? Fetch it again") from error
    except RecursionError:
        raise HeadScoreError(f"{path}: lists in lists without end; is this a file of head scores?") from None
    except HeadScoreError:
        raise
    except ValueError as error:
        # Python refuses integers of more than 4,300 digits.
        raise HeadScoreError(f"{path}: a number that cannot be read ({error}); leave failed cells out") from None


def place(path: Path, key: Any) -> tuple[int, int]:
    """(layer, head) of a key such as "16-19"."""
    parts = key.split("-") if isinstance(key, str) else []
    if len(parts) != 2 or not all(NUMBER.fullmatch(part) for part in parts):
        raise HeadScoreError(
            f"{path}: the key {str(key)[:60]!r} is not 'layer-head', two numbers from 0 on without zeros in front; "
            "metadata belongs into a sidecar"
        )
    return int(parts[0]), int(parts[1])


def as_array(path: Path, columns: Mapping[str, Sequence[float]]) -> np.ndarray:
    """Scores [cells, layers, heads] from lists keyed by "layer-head"; raises `HeadScoreError` with the reason."""
    if not isinstance(columns, Mapping) or not columns:
        raise HeadScoreError(f"{path}: no object with a list for every head; is this the right file and format?")
    places = {key: place(path, key) for key in columns}
    layers, heads = (max(found[axis] for found in places.values()) + 1 for axis in (0, 1))
    if len(places) != layers * heads or len(set(places.values())) != len(places):
        raise HeadScoreError(f"{path}: {len(places)} heads of {layers} x {heads}; every head needs a list, once")
    unlisted = [key for key, scores in columns.items() if not isinstance(scores, list)]
    if unlisted:
        raise HeadScoreError(f"{path}: the value of '{unlisted[0]}' is no list; every head needs one score a cell")
    lengths = {len(scores) for scores in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise HeadScoreError(f"{path}: lists of {sorted(lengths)} scores; every head needs one score a cell")
    array = np.empty((lengths.pop(), layers, heads))
    for key, (layer, head) in places.items():
        array[:, layer, head] = numbers(path, columns[key])
    return array


def numbers(path: Path, values: Sequence[Any]) -> np.ndarray:
    """Finite numbers up to `HIGHEST`, nothing else."""
    # Booleans and text would become numbers, nested lists a table.
    if not all(type(value) in (int, float) for value in values):
        raise HeadScoreError(f"{path}: a score is not a number; leave failed cells out")
    if not all(abs(value) < float("inf") for value in values):
        raise HeadScoreError(f"{path}: a score is not a finite number; leave failed cells out")
    if high := [value for value in values if abs(value) > HIGHEST]:
        raise HeadScoreError(f"{path}: a score of {high[0]:.4g}, where no retrieval score is beyond {HIGHEST}")
    return np.array(values, dtype=float)


def check_signs(path: Path, scores: np.ndarray, name: Any) -> None:
    """Raise `HeadScoreError` for a score below 0 where a file names one that has none (`NEVER_NEGATIVE`)."""
    if name in NEVER_NEGATIVE and (scores < 0).any():
        raise HeadScoreError(f"{path}: a score below 0, which no {name} is; is this another score?")


def by_layer(path: Path, shape: tuple[int, int], group_size: int | None) -> dict[int, tuple[int, int | None]]:
    """layer -> (heads, kv_heads) of a model whose layers are all alike."""
    layers, heads = shape
    if group_size and heads % group_size:
        raise HeadScoreError(f"{path}: {heads} heads cannot share keys by {group_size}; correct group_size")
    return {layer: (heads, heads // group_size if group_size else None) for layer in range(layers)}
