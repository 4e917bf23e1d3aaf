"""The naive algorithm, written plainly from its description (Wu et al. 2024): what the engine is measured
against.

Each cell tokenises its texts again, looks for the needle by set overlap of token windows, prefills the whole
prompt, decodes with attention matrices returned, and loops over layers and heads in Python at every step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from transformers import PreTrainedModel


def find(ids: Sequence[int], needle: Sequence[int]) -> tuple[int, int]:
    """The first window whose tokens overlap those of the needle by more than 90 %, (-1, -1) without one."""
    wanted = set(needle)
    for start in range(len(ids)):
        if len(set(ids[start : start + len(needle)]) & wanted) / len(wanted) > 0.9:
            return start, start + len(needle)
    return -1, -1


@torch.inference_mode()
def naive_cell(
    model: PreTrainedModel,
    ids: Sequence[int],
    needle: Sequence[int],
    stops: Collection[int],
    new_tokens: int,
    masking: AbstractContextManager | None = None,
) -> tuple[list[int], dict[tuple[int, int], float]]:
    """Answer one cell and count copies head by head: emitted ids, and (layer, head) -> score.

    The prompt is prefilled on the model's attention, the answer is decoded on eager attention. masking: holds while the
    answer is decoded.
    """
    start, end = find(ids, needle)
    batch = torch.tensor([list(ids)], device=model.device)
    cache = model(input_ids=batch[:, :-1], use_cache=True).past_key_values
    model.set_attn_implementation("eager")
    with masking or nullcontext():
        answer = _decode(model, cache, batch[:, -1:], (start, end), ids, needle, stops, new_tokens)
    model.set_attn_implementation("sdpa")
    return answer


def _decode(model, cache, token, span, ids, needle, stops, new_tokens):
    """The answer token by token, from the prompt's last one: emitted ids, and (layer, head) -> score."""
    (start, end), emitted, scores = span, [], {}
    for _ in range(new_tokens):
        output = model(input_ids=token, past_key_values=cache, use_cache=True, output_attentions=True)
        token = output.logits[:, -1:].argmax(-1)
        emitted.append(token.item())
        for layer, attention in enumerate(output.attentions):
            for head in range(attention.shape[1]):
                position = attention[0, head, -1].topk(1).indices.item()
                if start <= position < end and ids[position] == emitted[-1]:
                    scores[layer, head] = scores.get((layer, head), 0) + 1 / len(needle)
        if emitted[-1] in stops:
            break
    return emitted, scores
