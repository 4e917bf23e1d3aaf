"""What can be wrong with a checkpoint folder before anything is loaded: each fault in one sentence with its remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieval_heads.models.checkpoint.files import (
    INDEX_SUFFIX,
    LFS_POINTER,
    WEIGHTS,
    deciding_files,
    names_in,
    shards,
    weight_source,
)
from retrieval_heads.models.checkpoint.headers import tensors_in
from retrieval_heads.models.unsupported import ModelError

AGAIN = "download the checkpoint again, all of its files"
# Checkpoints that were quantised before they were saved, and that transformers reads without a kernel of their own.
QUANTIZED = ("bitsandbytes", "fp8", "mxfp4")
# A zip archive, or the older bare pickle.
_PICKLES = (b"PK", b"\x80")
_READ = ("generation_config.json", "tokenizer.json", "tokenizer_config.json")


def fault(path: str | Path, reason: str, remedy: str) -> ModelError:
    """The error about one checkpoint."""
    return ModelError(f"the model '{path}' cannot be used: {reason}; {remedy}")


def first_line(error: BaseException) -> str:
    """What an error of a library says, in its first line, and the next where that one only announces it."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if not lines:
        return type(error).__name__
    # Validators say what they found in the second line.
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return f"{type(error).__name__}: {said.rstrip('.:;')}"


def check_config(path: str | Path) -> None:
    """Raise `ModelError` when a folder's config.json cannot be read, or names what the project cannot load.

    Here and in `check_files` a name of the hub is left to the loader.
    """
    folder = Path(path)
    if not folder.is_dir():
        return
    if (folder / "adapter_config.json").is_file():
        merge = "merge it into its base model (`merge_and_unload` of peft), and name the folder of the merged model"
        raise fault(path, "it is an adapter (adapter_config.json), whose base model lies elsewhere", merge)
    if not (folder / "config.json").is_file():
        raise fault(path, "it has no config.json", "give the folder of a Hugging Face checkpoint")
    _check_pointers(path, [folder / "config.json"])
    config = _read_json(path, "config.json")
    if not isinstance(config, Mapping):
        raise fault(path, "its config.json holds no configuration", AGAIN)
    named = config.get("transformers_weights")
    if named is not None and named not in WEIGHTS:
        raise fault(path, f"its config.json names other weights ('{named}')", f"name them {WEIGHTS[0]}, drop the key")
    if not isinstance(config.get("model_type", ""), str):
        raise fault(path, f"its config.json names {json.dumps(config['model_type'])} as model_type", "name one type")
    quantized = config.get("quantization_config")
    if isinstance(quantized, Mapping) and (method := quantized.get("quant_method")) not in QUANTIZED:
        raise fault(
            path,
            f"its weights are saved quantised by '{method}', whose layers the project cannot reach",
            "take the checkpoint that is not quantised, and let models.<name>.quantization quantise it (8bit, 4bit)",
        )


def check_files(path: str | Path) -> None:
    """Raise `ModelError` when files of a folder are missing, cut off, or stand-ins for others."""
    folder = Path(path)
    if not folder.is_dir():
        return
    names = names_in(folder)
    _check_pointers(path, deciding_files(folder))
    for name in _READ:
        if name in names and not isinstance(_read_json(path, name), Mapping):
            raise fault(path, f"{name} holds no settings (names and values)", AGAIN)
    if "generation_config.json" in names:
        _check_ends(path, _read_json(path, "generation_config.json").get("eos_token_id"))
    _check_weights(path, names)


def _check_ends(path: str | Path, ends: Any) -> None:
    """The tokens at which a response ends are token ids; text would be read letter by letter."""
    listed = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if not all(type(end) is int for end in listed):
        remedy = "write token ids there"
        raise fault(path, f"generation_config.json has {json.dumps(ends)} as eos_token_id", remedy)


def _check_pointers(path: str | Path, files: list[Path]) -> None:
    pointers = [file.name for file in files if _begins(file, LFS_POINTER)]
    if pointers:
        raise fault(path, f"{pointers[0]} is a pointer of Git LFS in place of the file", "run `git lfs pull` there")


def _check_weights(path: str | Path, names: list[str]) -> None:
    source = weight_source(names)
    if source is None:
        raise fault(path, f"it has no weights ({WEIGHTS[0]}, {WEIGHTS[2]} or an index of either)", AGAIN)
    wanted = [source]
    if source.endswith(INDEX_SUFFIX):
        index = _read_json(path, source)
        wanted = shards(index)
        if not wanted:
            raise fault(path, f"{source} names no file of weights", AGAIN)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise fault(path, f"{source} names {', '.join(missing)}, and the folder does not hold it", AGAIN)
    if source.endswith(INDEX_SUFFIX) and not isinstance(index.get("metadata"), Mapping):
        raise fault(path, f"{source} has no 'metadata'", 'write "metadata": {} beside its "weight_map"')
    for name in wanted:
        if name.endswith(".safetensors") and tensors_in(Path(path) / name) is None:
            raise fault(path, f"{name} is cut off or no safetensors file", AGAIN)
        if name.endswith(".bin") and not any(_begins(Path(path) / name, start) for start in _PICKLES):
            raise fault(path, f"{name} is no file of weights that PyTorch wrote", AGAIN)


def _read_json(path: str | Path, name: str) -> Any:
    try:
        return json.loads((Path(path) / name).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise fault(path, f"{name} is no JSON ({error})", AGAIN) from None


def _begins(file: Path, start: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(start)) == start
