"""Values given by `snakemake --config section={...}` arrive as text; the schema says which were meant as numbers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import reduce

import yaml
from jsonschema import Draft202012Validator


def typed(config: Mapping, schema: Mapping) -> dict:
    """A copy of the config in which text that the schema refuses is read as YAML where it stands.

    Text that is no number, truth value or null stays as it is, for the schema to refuse by name.
    """
    result = copy.deepcopy(dict(config))
    for error in Draft202012Validator(schema).iter_errors(config):
        *parents, last = error.absolute_path or [None]
        if last is not None:
            holder = reduce(lambda part, key: part[key], parents, result)
            holder[last] = _read(holder[last])
    return result


def _read(value):
    """A text as YAML; a mapping (a sweep) value by value."""
    if isinstance(value, Mapping):
        return {key: _read(item) for key, item in value.items()}
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return value
