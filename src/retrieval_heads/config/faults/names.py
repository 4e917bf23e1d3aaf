"""Names of models: what a config may call them, since they become folders, file names and cells of tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from retrieval_heads.sources.text_files import is_misread

# Folders of results/ that belong to no model (a test compares them with the rules).
FOLDERS = frozenset(
    "archive benchmarks exports figures head_score masked_checkpoints models notebooks restored retrained "
    "downloads haystacks sum_attention tables tasks".split()
)
# The model that the project builds: its name stands for its folder.
BUILT = {"phantom": "results/models/phantom"}


def name_faults(config: Mapping) -> Iterator[str]:
    """Names that cannot be used, each with its key and the remedy."""
    yield from _no_text(config, "config")
    given = config.get("head_scores")
    parts = {
        "models": config.get("models"),
        "head_scores.models": given.get("models") if isinstance(given, Mapping) else None,
    }
    for part, entries in parts.items():
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(name, str) and entry not in (None, "null"):
                yield from _model_name(part, name, entry)
    yield from _labels_twice(parts)


def _labels_twice(parts: Mapping) -> Iterator[str]:
    """Labels that two models have: figures and tables would mix them. A model without one is called by its name."""
    labels: dict[str, str] = {}
    for part, entries in parts.items():
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            if not isinstance(entry, Mapping):
                continue
            label = str(entry.get("label", name))
            if labels.setdefault(label, name) != name:
                yield f"{part}.{name}.label: '{label}' is what '{labels[label]}' is called too; give each its own"


def _no_text(part: Mapping, key: str) -> Iterator[str]:
    """Keys that YAML reads as numbers or truth values; what was written there is lost (070 is 56)."""
    for name, value in part.items():
        if not isinstance(name, str):
            yield f"{key}: the name {name!r} is no text in YAML; put it in quotes, as you wrote it"
        elif isinstance(value, Mapping):
            yield from _no_text(value, name if key == "config" else f"{key}.{name}")


def _model_name(part: str, name: str, entry) -> Iterator[str]:
    where = f"{part}.{name}"
    if is_misread(name):
        yield f"{where}: tables read this name as a number or an empty value; call the model 'model-{name}', say"
    if name.lower() in FOLDERS:
        yield f"{where}: results/{name.lower()} is a folder of the workflow's own; call the model otherwise"
    if name.lower().endswith(".meta"):
        yield f"{where}: results/head_score/{name}.json would be taken for what describes another model's; drop '.meta'"
    own = entry.get("path") if isinstance(entry, Mapping) else None
    if part == "models" and name.lower() in BUILT and own != BUILT[name.lower()]:
        yield f"{where}: this name belongs to the model in {BUILT[name.lower()]}; call the model otherwise"
