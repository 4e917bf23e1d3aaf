"""What one patched run says: log-probabilities of the two answers, and whether the patched one became the greedy one.

The main measure is the difference of the two log-probabilities, the sum over the answer's tokens of their logit
differences (Wang et al. 2023, https://arxiv.org/abs/2211.00593, section 2; Heimersheim and Nanda 2024,
https://arxiv.org/abs/2404.15255, section 4, on measures that are roughly linear in the logits).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


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
