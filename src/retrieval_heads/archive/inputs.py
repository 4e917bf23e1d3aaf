"""What goes into an archive: the code, the config with the inputs that it names, and the results.

Weights are left out: they are large and seldom the author's to give away. Their SHA-256 are in the results
(`results/<model>/model.json`), and the code makes or fetches them again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from retrieval_heads.config.faults.given_files import whole_path
from retrieval_heads.sources.text_files import TEXTS

# From the root of the repository; a folder stands for all that is in it.
CODE = (
    "CITATION.cff",
    "LICENSE",
    "README.md",
    "Snakefile",
    "config/README.md",
    "envs",
    "requirements.txt",
    "resources",
    "slurm",
    "src",
    "workflow",
)
WEIGHTS = {".bin", ".gguf", ".npz", ".pt", ".safetensors"}

# Keys that hold a path, `*` for any name -> which files of the folder a study needs to start (None: the key is a file).
# `head_scores.folder` is not among them: it is joined to the files that it holds.
PATHS: dict[str, str | None] = {
    "downstream.sources.*.path": "*",
    "haystacks.folder": TEXTS,
    "head_scores.models.*.file": None,
    "models.*.gguf": None,
    "models.*.head_sets": None,
    "models.*.path": "config.json",
    "needles": None,
    "sum_attention.documents": TEXTS,
    "sum_attention.records": None,
    "sum_attention.templates": None,
}


def code_files(repository: Path) -> dict[str, Path]:
    """Name in the archive -> file, for the whole workflow without weights and without what Python leaves behind."""
    found: dict[str, Path] = {}
    for entry in CODE:
        top = Path(repository) / entry
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            name = path.relative_to(repository)
            hidden = any(part.startswith(".") or part == "__pycache__" for part in name.parts)
            if path.is_file() and not hidden and path.suffix not in WEIGHTS:
                found[name.as_posix()] = path
    return found


def result_files(listed: Iterable[str]) -> dict[str, Path]:
    """Name in the archive -> file, of the files that a study's jobs wrote.

    Without checkpoints, downloads, joined or tokenised texts and whole datasets of tasks, which others own or the code
    makes again, and without the tables of single shards, whose rows stand in the merged ones.
    """
    kept = [path for path in map(Path, listed) if path.is_file() and path.suffix not in WEIGHTS]
    return {
        path.as_posix(): path
        for path in kept
        if path.parts[1] not in ("models", "downloads", "haystacks")
        and path.name != "all.jsonl"
        and path.parent.name != "shards"
    }


def portable(config: Mapping, located: Callable[[str], str], repository: Path) -> tuple[dict, dict[str, Path]]:
    """The config as it reads inside the archive, and name in the archive -> file for the inputs that come along.

    A path of the repository's resources, or of something that a rule makes, stays as it is. Any other moves to
    `inputs/<key>`; a file of weights is named there and left out. located: finds a file of the config on disk.
    """
    config, files = _with_whole_paths(config, located), {}
    for key, pattern in PATHS.items():
        for parent, name, full_key in _places(config, key.split(".")):
            # Beside `hub`, `gguf` is a file of the hub.
            if parent[name].startswith("results/") or (name == "gguf" and "hub" in parent):
                continue
            source, repository = Path(located(parent[name])).resolve(), Path(repository).resolve()
            if repository / "resources" in source.parents:
                parent[name] = source.relative_to(repository).as_posix()
                continue
            target = PurePosixPath("inputs", full_key if pattern else full_key + source.suffix)
            parent[name] = str(target)
            files |= _in_folder(target, source, pattern) if pattern else _with_sidecar(target, source)
    return config, files


def _with_whole_paths(config: Mapping, located: Callable[[str], str]) -> dict:
    config = copy.deepcopy(dict(config))
    given = config.get("head_scores", {"models": {}})
    for entry in given["models"].values():
        entry["file"] = whole_path(given["folder"], entry["file"], located)
    return {**config, "head_scores": {**given, "folder": "."}} if given["models"] else config


def _in_folder(target: PurePosixPath, folder: Path, pattern: str) -> dict[str, Path]:
    return {str(target / path.name): path for path in sorted(folder.glob(pattern))}


def _with_sidecar(target: PurePosixPath, file: Path) -> dict[str, Path]:
    found = {} if file.suffix in WEIGHTS else {str(target): file}
    if file.with_suffix(".meta.json").is_file():
        found[str(target.with_suffix(".meta.json"))] = file.with_suffix(".meta.json")
    return found


def _places(config, keys: list[str], above: str = "") -> Iterator[tuple[dict, str, str]]:
    """(mapping, key, dotted key) of every value that a dotted key with stars names."""
    names = list(config) if keys[0] == "*" else [keys[0]] if keys[0] in config else []
    for name in names:
        full = f"{above}{name}"
        if len(keys) == 1:
            if isinstance(config[name], str):
                yield config, name, full
        elif isinstance(config[name], dict):
            yield from _places(config[name], keys[1:], f"{full}.")
