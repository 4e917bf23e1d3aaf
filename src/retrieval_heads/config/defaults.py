"""What a config leaves out or takes away, filled in or removed as its schema says.

Light on purpose (jsonschema): the Snakefile calls it while it is parsed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from jsonschema import Draft202012Validator


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
