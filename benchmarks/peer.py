"""A public peer's algorithm, written plainly from its description: QRHead (Zhang et al. 2025,
https://arxiv.org/abs/2506.09944), what the question attends to less what a query without content does.

Each cell prefills its context anew, lets the question and then the null query pass on attention that returns its
matrices, and sums what every head puts on the needle. Nothing is answered.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel


@torch.inference_mode()
def qrhead_cell(
    model: PreTrainedModel, ids: Sequence[int], question_start: int, null_query: Sequence[int], span: tuple[int, int]
) -> torch.Tensor:
    """Score of every head, [layers, heads]. span: positions of the needle's answer."""
    batch = torch.tensor([list(ids)], device=model.device)
    cache = model(input_ids=batch[:, :question_start], use_cache=True).past_key_values
    model.set_attn_implementation("eager")
    question = _mass(model, batch[:, question_start:], cache, span)
    cache.crop(question_start - len(ids))
    nothing = _mass(model, torch.tensor([list(null_query)], device=model.device), cache, span)
    model.set_attn_implementation("sdpa")
    return question - nothing


def _mass(model, query: torch.Tensor, cache, span: tuple[int, int]) -> torch.Tensor:
    output = model(input_ids=query, past_key_values=cache, use_cache=True, output_attentions=True)
    return torch.stack([layer[0, :, :, slice(*span)].sum(-1).mean(-1) for layer in output.attentions])
