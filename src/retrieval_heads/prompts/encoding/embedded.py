"""Tokens that a tokenizer gives and a model has no embedding for: refused by name, before a model reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrieval_heads.models.unsupported import ModelError


def refuse_unembedded(ids: Sequence[int], tokenizer: Any, rows: int) -> None:
    """Raise `ModelError` where token ids of a prompt are beyond the embeddings (`rows`) of its model."""
    highest = max(ids, default=0)
    if highest >= rows:
        raise ModelError(
            f"the model '{tokenizer.name_or_path}' cannot be asked: its tokenizer writes "
            f"'{tokenizer.convert_ids_to_tokens(highest)}' as token {highest} into a prompt, and the model has "
            f"embeddings of {rows} tokens; put the tokenizer that belongs to the model into its folder"
        )
