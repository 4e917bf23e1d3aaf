"""The responses of a masked model, put in order."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval_heads.downstream.lm.masked import MaskedLM, Response
from retrieval_heads.masking.masks import Masks


def generated(
    lm: MaskedLM, prompts: Sequence[str], masks: Masks, batch: int = 2, **options
) -> dict[str, list[Response]]:
    """Name of the head set -> responses in the order of the prompts."""
    found = dict(lm.generate(prompts, masks, batch=batch, **options))
    assert set(found) == set(range(len(prompts)))
    return {name: [found[place][name] for place in range(len(prompts))] for name in masks}
