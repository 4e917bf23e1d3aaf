"""What the schema of the config cannot see: files that are not there, and values that contradict them or each other.

Light on purpose (standard library): the Snakefile calls it while it is parsed. Files made elsewhere are read by
`given_files`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from retrieval_heads.config.faults.architectures import ArchitectureError, read_architecture
from retrieval_heads.config.faults.given_files import whole_path
from retrieval_heads.downstream.tasks.sources import downstream_faults
from retrieval_heads.patching.candidates import patched_faults
from retrieval_heads.prompts.needle_selection import known_answers
from retrieval_heads.prompts.needles import NeedleError, choose, read_needles
from retrieval_heads.prompts.template import template_faults
from retrieval_heads.sources.haystack_sources import list_haystacks, source_faults
from retrieval_heads.sources.text_files import TextFileError, has_braces, list_texts, read_text
from retrieval_heads.sum_attention.facts import sum_attention_faults


def file_faults(config: Mapping, located: Callable, built: Collection[str]) -> Iterator[str]:
    """One sentence a fault. config: fits its schema, defaults filled in. located, built: as in `validation.checked`."""
    yield from template_faults(config)
    yield from _braces(config, located)
    parts = used_parts(config, built)
    if parts:
        try:
            yield from source_faults(config["haystacks"])
            folder = config["haystacks"].get("folder")
            # Texts of a package are looked through when needles are placed in them.
            haystacks = list_haystacks(folder, located) if folder else []
            texts = {str(path): read_text(path, "haystacks.folder") for path in haystacks}
            needles = read_needles(Path(located(config["needles"])))
            for part in parts:
                chosen = choose(needles, config[part]["needles"], f"{part}.needles")
                yield from known_answers(chosen, texts, f"{part}.needles")
            yield from patched_faults(config, needles, haystacks)
        except (NeedleError, TextFileError) as error:
            yield str(error)
    if "detection" in parts and config["detection"]["rank_by"] not in config["detection"]["scores"]:
        yield "detection.rank_by: this score is not computed; add it to detection.scores"
    for name, model in config["models"].items():
        yield from _model_faults(name, model, config, located, built)
    yield from _given_faults(config["models"], config["head_scores"], located)
    yield from downstream_faults(config, located)
    if "quirks" in config:
        from retrieval_heads.replication.quirks import quirk_faults

        yield from quirk_faults(config)
    yield from sum_attention_faults(config, located)


def _braces(config: Mapping, located: Callable) -> Iterator[str]:
    """Files that rules name as they are, with a brace in their path."""
    facts = config.get("sum_attention") or {}
    documents = list_texts(located(facts["documents"])) if "documents" in facts else []
    named = [("needles", config["needles"]), *(("sum_attention.documents", file) for file in documents)]
    named += [(f"sum_attention.{name}", facts[name]) for name in ("records", "templates") if name in facts]
    for key, path in named:
        if has_braces(path):
            yield f"{key}: '{path}' has a brace in its name, which the workflow takes for a wildcard; rename it"


def used_parts(config: Mapping, built: Collection[str]) -> list[str]:
    """The parts with needles that some target of this study uses: a model that runs, that is detected, the phantom."""
    models = config["models"]
    wanted = {
        "detection": any(name not in config["head_scores"]["models"] for name in models),
        "masked": bool(models),
        "calibration": any(entry.get("path") in built for entry in models.values()),
    }
    return [part for part, used in wanted.items() if used and part in config]


def _given_faults(models: Mapping, given: Mapping, located: Callable) -> Iterator[str]:
    if not models and not given["models"]:
        yield "models: none is left; name a model here, or a file of scores under head_scores.models"
    for name, entry in given["models"].items():
        file = whole_path(given["folder"], entry["file"], located)
        if not Path(located(file)).is_file():
            yield (
                f"head_scores.models.{name}.file: there is no '{file}'; put the file there, or name the folder that "
                "holds it in head_scores.folder"
            )


def _model_faults(
    name: str, model: Mapping, config: Mapping, located: Callable, built: Collection[str]
) -> Iterator[str]:
    given = model.get("head_sets")
    if given and not Path(located(given)).is_file():
        yield f"models.{name}.head_sets: there is no file '{given}'; put it there or remove the key"
    file = model.get("gguf") if "hub" not in model else None
    if file and not Path(located(file)).is_file():
        yield f"models.{name}.gguf: there is no file '{file}'; name a .gguf file, or `hub` and `revision` beside it"
    path = model.get("path")
    if path is None or path in built:
        return
    file = Path(located(path)) / "config.json"
    if not file.is_file():
        yield f"models.{name}.path: there is no '{path}/config.json'; give the folder of a Hugging Face checkpoint"
        return
    try:
        architecture = read_architecture(file, f"models.{name}.path")
    except ArchitectureError as error:
        yield str(error)
        return
    heads = (architecture.get("num_hidden_layers") or 0) * (architecture.get("num_attention_heads") or 0)
    for size in config["head_sets"]["sizes"]:
        if isinstance(size, int) and 0 < heads < size:
            yield f"head_sets.sizes: {size} is more than the {heads} heads of model '{name}'; remove it"
    window = model["window"] or architecture.get("max_position_embeddings")
    for part in ("detection", "masked"):
        longest = max(model.get("lengths") or config[part]["lengths"])
        if window is not None and longest > window:
            yield f"{part}.lengths: {longest} is beyond the window of model '{name}' ({window} tokens); shorten it"
