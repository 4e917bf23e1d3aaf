"""The config of the study without a network, as tests of its checks change it."""

from __future__ import annotations

import copy
from pathlib import Path

from retrieval_heads.config.validation import read_schema

ROOT = Path(__file__).parents[2]
SCHEMA = read_schema(ROOT / "workflow/schemas/config.schema.yaml")
BUILT = {"results/models/phantom"}


def located(path: str) -> str:
    return str(ROOT / path) if not Path(path).is_absolute() else path


def put(config: dict, key: str, value) -> dict:
    changed = copy.deepcopy(config)
    *parents, last = key.split(".")
    place = changed
    for parent in parents:
        place = place[parent]
    place[last] = value
    return changed
