"""One forward call: tokens go onto a filled KV cache, logits come back."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from retrieval_heads.models.architecture import first_device
from retrieval_heads.models.loading import Loaded


@torch.inference_mode()
def predictions(
    loaded: Loaded, ids: Sequence[Sequence[int]], cache, positions: Sequence[Sequence[int]] | None = None
) -> torch.Tensor:
    """Feed equally long rows of token ids onto the cache; logits [rows, tokens, vocabulary] in the model's dtype.

    positions: of every token; None where all rows have come equally far.
    """
    device = first_device(loaded.model)
    options = {} if positions is None else {"position_ids": torch.tensor(positions, device=device)}
    batch = torch.tensor(ids, dtype=torch.long, device=device)
    last = [max(row) for row in positions] if positions else [cache.get_seq_length() + len(ids[0]) - 1]
    with loaded.info.rotary.onto(cache, [position + 1 for position in last]):
        return loaded.model(input_ids=batch, past_key_values=cache, use_cache=True, **options).logits


def forward(loaded: Loaded, ids: Sequence[Sequence[int]], cache) -> torch.Tensor | None:
    """Feed equally long rows of token ids onto the cache; the logits of each row's last token, in the model's dtype.

    ids: [rows][tokens]. Returns [rows, vocabulary], None when there are no tokens. Families that cannot take
    a block of tokens onto a filled cache get them one by one.
    """
    tokens = len(ids[0])
    at_once = tokens if loaded.info.takes_blocks else 1
    logits = None
    for start in range(0, tokens, max(1, at_once)):
        logits = predictions(loaded, [row[start : start + at_once] for row in ids], cache)[:, -1]
    return logits
