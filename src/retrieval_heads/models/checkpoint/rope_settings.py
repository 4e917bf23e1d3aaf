"""Rotary settings of the config (`models.<name>.rope`) put over those of a checkpoint, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrieval_heads.models.checkpoint.faults import fault, first_line

KEY = "models.<name>.rope"
# What a rotary type needs, of the checkpoint or of the config. ASSUME: transformers 5.23.
NEEDED = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor", "original_max_position_embeddings"),
    "llama3": ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"),
    "longrope": ("short_factor", "long_factor", "original_max_position_embeddings"),
}
# Settings of the config that a type without scaling does not read.
SCALING = ("factor", "original_max_position_embeddings")


def put_rope(path: str, text: Any, rope: Mapping[str, Any]) -> None:
    """Put rotary settings over those of a language model's configuration.

    Raises `ModelError` where one of them is no number, would have no effect, or lacks another that its type needs.
    """
    for name in ("factor", "rope_theta", "original_max_position_embeddings"):
        if name in rope and type(rope[name]) not in (int, float):
            raise fault(path, f"{KEY}.{name} is {rope[name]!r}, which is no number", "write a number there")
    saved = getattr(text, "rope_parameters", None) or {}
    if any(isinstance(part, Mapping) for part in saved.values()):
        reason = f"its kinds of layers have rotary settings of their own, and {KEY} would change none of them"
        raise fault(path, reason, "remove the key")
    merged = {**saved, **rope}
    kind = merged.get("rope_type", merged.get("type", "default"))
    if missing := [name for name in NEEDED.get(kind, ()) if merged.get(name) is None]:
        # The schema knows these; the others come with a checkpoint alone.
        remedy = "add it" if missing[0] in SCALING else "choose another rope_type"
        raise fault(path, f"{KEY} lacks '{missing[0]}', which the rotary type '{kind}' needs", remedy)
    if kind not in NEEDED and (idle := [name for name in SCALING if name in rope]):
        reason = f"{KEY}.{idle[0]} has no effect on the rotary type '{kind}'"
        raise fault(path, reason, "name the rope_type that it is meant for, or remove the key")
    text.rope_parameters = merged
    try:
        text.validate_rope()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise fault(path, f"{KEY} does not fit it ({first_line(error)})", "correct or remove the key") from error
