"""The config.json of a checkpoint folder as far as the Snakefile needs it, or what is wrong with it.

Standard library only: the Snakefile asks while it is parsed. What a model needs is checked when it is looked at.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from retrieval_heads.models.checkpoint.files import LFS_POINTER

COUNTS = ("num_hidden_layers", "num_attention_heads", "max_position_embeddings", "hidden_size", "vocab_size")


class ArchitectureError(ValueError):
    """A config.json that cannot be used; the message names the config key, the file and the remedy."""


def read_architecture(file: Path, key: str) -> dict[str, Any]:
    """What a config.json says. key: of the config, which names the checkpoint in an error."""
    try:
        content = file.read_bytes()
        found = json.loads(content.decode("utf-8"))
    except OSError as error:
        raise ArchitectureError(f"{key}: '{file}' cannot be read ({error.strerror}); give a checkpoint") from None
    except (ValueError, RecursionError) as error:
        if content.startswith(LFS_POINTER):
            raise ArchitectureError(f"{key}: '{file}' is a pointer of Git LFS; run `git lfs pull` there") from None
        raise ArchitectureError(
            f"{key}: '{file}' is no JSON in UTF-8 without a mark ({error}); download it again"
        ) from None
    if not isinstance(found, dict) or not isinstance(found.get("text_config") or {}, dict):
        raise ArchitectureError(f"{key}: '{file}' holds no configuration of a model; download it again")
    for part in (found, found.get("text_config") or {}):
        for name in COUNTS:
            if part.get(name) is not None and type(part[name]) not in (int, float):
                raise ArchitectureError(
                    f"{key}: '{file}' has {json.dumps(part[name])} as {name}, which is no number; download it again"
                )
    return found
