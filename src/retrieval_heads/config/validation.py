"""The config as a contract: checked against its schema before any job starts, every error with a remedy.

Light on purpose (jsonschema, PyYAML, no pandas, no torch): the Snakefile calls it while it is parsed.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import yaml

from retrieval_heads.config.command_line import typed
from retrieval_heads.config.defaults import with_defaults, without_nulls
from retrieval_heads.config.faults.files import file_faults
from retrieval_heads.config.faults.names import name_faults
from retrieval_heads.config.faults.schema import schema_faults
from retrieval_heads.config.sweeps import SweepError, spelt_out
from retrieval_heads.prompts.needle_selection import EarlierRunError, with_names


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
    if faults := [*schema_faults(config, schema), *_date_faults(config)]:
        raise ConfigError("\n".join(faults))
    full = with_defaults(config, schema, schema)
    if faults := list(file_faults(full, located, built)):
        raise ConfigError("\n".join(faults))
    return full


def _date_faults(config: Mapping) -> Iterator[str]:
    """The pattern of the schema lets through days that no calendar has."""
    prompt = config.get("prompt")
    date = prompt.get("date") if isinstance(prompt, Mapping) else None
    if isinstance(date, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        try:
            datetime.date.fromisoformat(date)
        except ValueError as error:
            yield f"prompt.date: '{date}' is no day of the calendar ({error}); write one that is, as YYYY-MM-DD"


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
