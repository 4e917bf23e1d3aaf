"""What figures and the study's page call a model."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from retrieval_heads.head_scores.scores import SIDECAR
from retrieval_heads.sources.gguf.header import said_in_label


def full_labels(labels: Mapping[str, str], infos: Iterable[str], score: str) -> dict[str, str]:
    """Labels with the bits of quantised weights, and with the name of a score that is not `score`, as all others are.

    infos: `model.json` of the models converted from GGUF files, and the sidecars of head scores made elsewhere.
    """
    found: defaultdict[str, dict] = defaultdict(dict)
    for path in map(Path, infos):
        # A model may have both.
        found[_model(path)].update(json.loads(path.read_text(encoding="utf-8")))
    return {name: _full(label, found[name], score) for name, label in labels.items()}


def _model(path: Path) -> str:
    return path.name.removesuffix(SIDECAR) if path.name.endswith(SIDECAR) else path.parent.name


def _full(label: str, info: Mapping, score: str) -> str:
    other = info.get("score") or score
    said = "" if other == score else f", {other.replace('_', ' ')}"
    return said_in_label(label, info.get("gguf")) + said
