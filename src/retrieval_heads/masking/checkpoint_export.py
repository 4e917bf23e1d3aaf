"""A checkpoint in which chosen heads add nothing: their columns of the output projection are zero, for good.

Such a checkpoint loads wherever the original does, without hooks. It answers as the original does under the mask
`zero_output` of scope `all` (masks.py): a bias of the projection stays, as it does there.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers.pytorch_utils import Conv1D

from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models.loading import Loaded

# Beside the weights: which heads were masked, as HeadMask names them.
NOTE = "masked_heads.json"


@torch.no_grad()
def zero_heads(loaded: Loaded, mask: HeadMask) -> None:
    """Set the weights of masked heads to zero, in place. Raises `MaskError` for a head that the model lacks.

    mask: its mode and scope are not looked at, its unit is.
    """
    info = loaded.info
    for layer, heads in mask.expanded(info).items():
        projection, size = info.projections[layer], info.value_dim[layer]
        # GPT-2's projections keep their weights transposed: [in, out] instead of [out, in].
        by_input = projection.weight if isinstance(projection, Conv1D) else projection.weight.T
        for head in heads:
            by_input[head * size : (head + 1) * size] = 0


def export_masked(loaded: Loaded, mask: HeadMask, folder: Path, name: str) -> None:
    """Zero the heads of a model and save it with its tokenizer and a note of what was done.

    The model that was passed in is changed. name: of the head set.
    """
    zero_heads(loaded, mask)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    note = {"head_set": name, "unit": mask.unit, "heads": [list(head) for head in mask.heads]}
    (Path(folder) / NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
