"""The config as a contract: checked against its schema before any job starts, every error with a remedy.

Light on purpose (jsonschema, PyYAML, no pandas, no torch): the Snakefile calls it while it is parsed.
"""

from __future__ import annotations

import copy
import datetime
import difflib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, ValidationError

from retrieval_heads.config.command_line import typed
from retrieval_heads.config.names import name_faults
from retrieval_heads.config.sweeps import SweepError, spelt_out
from retrieval_heads.downstream.tasks.sources import downstream_faults
from retrieval_heads.patching.candidates import patched_faults
from retrieval_heads.prompts.needle_selection import EarlierRunError, with_names
from retrieval_heads.prompts.needles import NeedleError, choose, read_needles
from retrieval_heads.sources.haystack_sources import source_faults
from retrieval_heads.sources.text_files import TextFileError, list_texts, read_text
from retrieval_heads.sum_attention.facts import sum_attention_faults
from retrieval_heads.words import comparable, stands_in


class ConfigError(ValueError):
    """A configuration that cannot be used; one line per fault, each with key, value and remedy."""


def read_schema(path: Path) -> dict:
    """The JSON schema of the config (YAML)."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def checked(config: Mapping, schema: Mapping, located: Callable[[str], str], built: Collection[str]) -> dict:
    """The config with the schema's defaults filled in.

    located: finds a file of the config on disk. built: model paths that a rule makes, so they need not exist yet.
    Raises `ConfigError` that lists every fault of the first kind found: schema, then files.
    """
    if faults := list(name_faults(config)):
        raise ConfigError("\n".join(faults))
    try:
        config = typed({**config, "models": _kept(config.get("models"))}, schema)
        config = with_names(spelt_out(without_nulls(_with_date_as_text(config), schema, schema)), located)
    except (SweepError, EarlierRunError) as error:
        raise ConfigError(str(error)) from None
    faults = [_describe(error) for error in Draft202012Validator(schema).iter_errors(config)]
    if faults:
        raise ConfigError("\n".join(dict.fromkeys(faults)))
    full = with_defaults(config, schema, schema)
    faults = list(_file_faults(full, located, built))
    if faults:
        raise ConfigError("\n".join(faults))
    return full


def unpinned(models: Mapping[str, Mapping]) -> list[str]:
    """One warning for each model of the hub whose revision is a name, which may mean other weights tomorrow."""
    return [
        f"models.{name}.revision: '{entry['revision']}' pins nothing, as the hub may move it; write the 40-digit "
        f"commit of {entry['hub']} there before a study that is to be repeated"
        for name, entry in sorted(models.items())
        if "hub" in entry and not re.fullmatch("[0-9a-f]{40}", entry["revision"])
    ]


def _kept(models):
    """The models without those that a second config sets to null (the text "null" from the command line)."""
    if not isinstance(models, Mapping):
        return models
    return {name: entry for name, entry in models.items() if entry not in (None, "null")}


def _with_date_as_text(config: Mapping) -> dict:
    """The config with `prompt.date` as text, where YAML made a date of it."""
    prompt = config.get("prompt")
    if isinstance(prompt, Mapping) and isinstance(prompt.get("date"), datetime.date):
        return {**config, "prompt": {**prompt, "date": prompt["date"].strftime("%Y-%m-%d")}}
    return dict(config)


def with_defaults(value, schema: Mapping, root: Mapping):
    """A deep copy of `value` in which every missing key that has a default in the schema holds it.

    Whole numbers that are written with a point (256.0) become whole numbers where the schema wants such.
    """
    schema = _resolve(schema, root)
    if isinstance(value, list):
        return [with_defaults(item, schema.get("items", {}), root) for item in value]
    if not isinstance(value, Mapping):
        whole = isinstance(value, float) and value.is_integer() and "integer" in _types(schema)
        return int(value) if whole else copy.deepcopy(value)
    properties = schema.get("properties", {})
    filled = {
        key: with_defaults(item, properties.get(key, schema.get("additionalProperties") or {}), root)
        for key, item in value.items()
    }
    for key, child in properties.items():
        if key not in filled and "default" in child:
            filled[key] = copy.deepcopy(child["default"])
    return filled


def without_nulls(value, schema: Mapping, root: Mapping):
    """The config without the optional keys and the entries that are null, which is how a config takes them away.

    A null that means something of its own, as the schema says, stays.
    """
    schema = _resolve(schema, root)
    if not isinstance(value, Mapping):
        return value
    properties, required = schema.get("properties", {}), schema.get("required", [])
    entries = schema.get("additionalProperties") or {}
    return {
        key: without_nulls(item, properties.get(key, entries), root)
        for key, item in value.items()
        if item is not None
        or key in required
        or (key not in properties and not entries)
        or Draft202012Validator({**root, **_resolve(properties.get(key, {"not": {}}), root)}).is_valid(None)
    }


def _types(schema: Mapping) -> list[str]:
    """The JSON types that a schema of one value allows."""
    found = schema.get("type", [])
    return (
        [found]
        if isinstance(found, str)
        else [*found, *(one for part in schema.get("oneOf", []) for one in _types(part))]
    )


def _resolve(schema, root: Mapping) -> Mapping:
    if not isinstance(schema, Mapping):
        return {}
    if "$ref" in schema:
        return root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _describe(error: ValidationError) -> str:
    key = ".".join(str(part) for part in error.absolute_path) or "config"
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [name for name in error.instance if name not in known]
        return "\n".join(_unknown_key(key, str(name), known) for name in unknown)
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{key}: the key '{missing[0]}' is missing; config/README.md describes it"
    if error.validator == "oneOf" and key.endswith("package.name"):
        return f"{key}: {json.dumps(error.instance)} pins no version; write it as name==1.2.3, or a list of such"
    if error.validator == "oneOf" and re.fullmatch(r"models\.[A-Za-z0-9._-]+", key):
        return (
            f"{key}: give either `path` (a folder with a checkpoint), or `hub` and `revision` (a pinned commit, with "
            "`gguf` for one file of it), or `gguf` (a local file), or `package` (of the package index), and only one"
        )
    if error.validator == "oneOf":
        return f"{key}: {json.dumps(error.instance)} is neither a count of heads (30) nor a share of them ('5%')"
    if error.validator == "pattern" and key.endswith("package.name"):
        return f"{key}: '{error.instance}' pins no version; write it as name==1.2.3"
    if error.validator == "pattern" and key.endswith(".template"):
        return f"{key}: it must hold {error.validator_value.replace(chr(92), '')}"
    return f"{key}: {error.message}; config/README.md gives the type and an example"


def _unknown_key(parent: str, name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{nearest[0]}'?" if nearest else f"known keys: {', '.join(known)}"
    return f"{parent}: unknown key '{name}'; {hint}"


def _file_faults(config: Mapping, located: Callable, built: Collection[str]) -> Iterator[str]:
    """What the schema cannot see: files that are not there, and numbers that contradict them."""
    parts = used_parts(config, built)
    if parts:
        try:
            yield from source_faults(config["haystacks"])
            folder = config["haystacks"].get("folder")
            # Texts of a package are looked through when needles are placed in them.
            haystacks = list_haystacks(Path(located(folder))) if folder else []
            needles = read_needles(Path(located(config["needles"])))
            for part in parts:
                chosen = choose(needles, config[part]["needles"], f"{part}.needles")
                yield from _known_text(chosen, haystacks, part)
            yield from patched_faults(config, needles, haystacks)
        except (ConfigError, NeedleError, TextFileError) as error:
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
        file = Path(given["folder"]) / entry["file"]
        if not Path(located(str(file))).is_file():
            yield (
                f"head_scores.models.{name}.file: there is no '{file}'; put the file there, or name the folder that "
                "holds it in head_scores.folder"
            )


def list_haystacks(folder: Path) -> list[Path]:
    """The .txt files of a folder in the order of their names; raises `ConfigError` when there are none."""
    files = list_texts(folder)
    if not files:
        raise ConfigError(f"haystacks.folder: no .txt file in '{folder}'; put plain text files there")
    try:
        empty = [file for file in files if not read_text(file, "haystacks.folder").strip()]
    except TextFileError as error:
        raise ConfigError(str(error)) from None
    if empty:
        raise ConfigError(f"haystacks.folder: '{empty[0]}' is empty; remove it or fill it")
    return files


def _known_text(needles, haystacks: list[Path], part: str) -> Iterator[str]:
    texts = {path: comparable(read_text(path, "haystacks.folder")) for path in haystacks}
    for needle in needles:
        answer = comparable(needle.answer)
        for path, text in texts.items():
            if stands_in(answer, text):
                yield f"{part}.needles: the answer of '{needle.needle}' already stands in '{path}'; choose another"


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
    architecture = json.loads(file.read_text(encoding="utf-8"))
    heads = architecture.get("num_hidden_layers", 0) * architecture.get("num_attention_heads", 0)
    for size in config["head_sets"]["sizes"]:
        if isinstance(size, int) and 0 < heads < size:
            yield f"head_sets.sizes: {size} is more than the {heads} heads of model '{name}'; remove it"
    window = model["window"] or architecture.get("max_position_embeddings")
    for part in ("detection", "masked"):
        longest = max(model.get("lengths") or config[part]["lengths"])
        if window is not None and longest > window:
            yield f"{part}.lengths: {longest} is beyond the window of model '{name}' ({window} tokens); shorten it"
