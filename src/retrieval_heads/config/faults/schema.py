"""What breaks the schema of the config, one sentence a fault, with the key and the remedy."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping

from jsonschema import Draft202012Validator, ValidationError


def schema_faults(config: Mapping, schema: Mapping) -> Iterator[str]:
    """Every fault once, in the order of the validator."""
    yield from dict.fromkeys(map(_describe, Draft202012Validator(schema).iter_errors(config)))


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
    if error.validator == "oneOf" and key == "downstream.items":
        return f"{key}: {json.dumps(error.instance)} is neither a number of items nor `{{task: number}}`"
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
