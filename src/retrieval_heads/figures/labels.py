"""What figures and the study's page call a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from retrieval_heads.sources.gguf.header import said_in_label


def full_labels(labels: Mapping[str, str], infos: Iterable[str]) -> dict[str, str]:
    """Labels with the bits of quantised weights. infos: `model.json` of the models converted from GGUF files."""
    found = {Path(path).parent.name: json.loads(Path(path).read_text(encoding="utf-8")) for path in infos}
    return {name: said_in_label(label, found.get(name, {}).get("gguf")) for name, label in labels.items()}
