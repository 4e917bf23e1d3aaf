"""What one patched run says: log-probabilities of the two answers, and whether the patched one became the greedy one.

The main measure is the difference of the two log-probabilities, the sum over the answer's tokens of their logit
differences (Wang et al. 2023, https://arxiv.org/abs/2211.00593, section 2; Heimersheim and Nanda 2024,
https://arxiv.org/abs/2404.15255, section 4, on measures that are roughly linear in the logits).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from retrieval_heads.rounding import settled


def measure(logits: torch.Tensor, answer: Sequence[int], other: Sequence[int]) -> list[dict]:
    """One row for each row of `logits`, float32 [rows, tokens, vocabulary], of a run in which `answer` was forced.

    log_probability: of `answer`, summed over its tokens, nats. other_log_probability: of the tokens of `other` in their
    places, behind the same forced tokens. greedy: whether every token of `answer` is the most probable one.
    """
    chosen = torch.log_softmax(logits.double(), dim=-1).cpu()
    steps = torch.arange(len(answer))
    own, others = (chosen[:, steps, torch.tensor(ids)].sum(-1).tolist() for ids in (list(answer), list(other)))
    greedy = (chosen.argmax(-1) == torch.tensor(list(answer))).all(-1).tolist()
    return [
        {"log_probability": mine, "other_log_probability": theirs, "greedy": first}
        for mine, theirs, first in zip(own, others, greedy, strict=True)
    ]


def restored(patched, counterpart, original):
    """Share of the difference that a patch restores, percent: (patched - counterpart) / (original - counterpart).

    0: as if nothing was patched; 100: as in the run that the heads come from; beyond both it may go (Wang et al. 2023,
    section 4, normalise the same way). NaN where the run that the heads come from is no better than the other: nothing
    is there to restore. Numbers or arrays of one shape.
    """
    gap = np.asarray(original, float) - np.asarray(counterpart, float)
    there = settled(gap) > 0
    gain = np.asarray(patched, float) - np.asarray(counterpart, float)
    return 100 * np.where(there, gain, np.nan) / np.where(there, gap, 1.0)
