"""The files of a checkpoint that decide a model's answers: one list for inputs of rules, hashes and downloads.

Light on purpose (no torch, no transformers): the rules call it while they are parsed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

# Configuration, vocabulary, merges and chat templates; neither the card nor anything that runs code.
TEXT_SUFFIXES = (".json", ".jinja", ".model", ".txt", ".tiktoken")
# Further chat templates lie here, in the layout of transformers.
TEMPLATE_FOLDER = "additional_chat_templates"
# Weights in the order in which transformers looks for them; those that an index stands for are named in it.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
INDEX_SUFFIX = ".index.json"
# How a file of Git LFS begins that was not fetched.
LFS_POINTER = b"version https://git-lfs"


def deciding_names(names: Collection[str], read: Callable[[str], Mapping]) -> list[str]:
    """Of all files of a checkpoint, by their paths in it, those that decide its answers.

    read: the content of an index, by its name. Weights are those that are loaded: copies of them in other formats
    (`consolidated.safetensors`, `original/`, `.bin` beside safetensors) and indexes of such copies do not count.
    """
    source = weight_source(names)
    weights = [] if source is None else shards(read(source)) if source.endswith(INDEX_SUFFIX) else [source]
    texts = [name for name in names if _is_text(name) and (name == source or not name.endswith(INDEX_SUFFIX))]
    return sorted({*texts, *weights})


def _is_text(name: str) -> bool:
    folder, _, _ = name.rpartition("/")
    return name.endswith(TEXT_SUFFIXES) and folder in ("", TEMPLATE_FOLDER)


def weight_source(names: Collection[str]) -> str | None:
    """The file of weights, or their index, that is loaded; None where there is none."""
    return next((name for name in WEIGHTS if name in names), None)


def shards(index: Mapping) -> list[str]:
    """The files that an index names; none where it names no file."""
    weight_map = index.get("weight_map") if isinstance(index, Mapping) else None
    named = set(weight_map.values()) if isinstance(weight_map, Mapping) and _are_texts(weight_map) else ()
    return sorted(named)


def _are_texts(weight_map: Mapping) -> bool:
    return all(isinstance(name, str) for name in weight_map.values())


def names_in(folder: Path) -> list[str]:
    """All files of a checkpoint folder, as paths in it."""
    folder = Path(folder)
    found = [*folder.glob("*"), *folder.glob(f"{TEMPLATE_FOLDER}/*")]
    return sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())


def deciding_files(folder: Path) -> list[Path]:
    """The files of a folder that decide the answers of its model, as far as they are there, in order."""
    folder, names = Path(folder), names_in(folder)
    return [folder / name for name in deciding_names(names, lambda name: _index(folder / name)) if name in names]


def _index(file: Path) -> Mapping:
    """An index, or nothing where it cannot be read; the check of the checkpoint says so."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return {}
