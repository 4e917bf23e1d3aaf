"""The probe: where every head looks while the model predicts the next token.

It listens to the single-query steps of decoding and reduces each attention row at once to what the scores need, so
that nothing of the size of the context is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from retrieval_heads.attention import LISTENERS, Call, attention_rows


class Probe:
    """Rows of one prompt (batch of one), reduced step by step.

    span: token positions `[start, end)` of the answer. shape: (layers, heads). After n steps `targets` holds n arrays
    int64 [layers, heads], the position that each head attends to most (-1 where the layer has no softmax attention),
    and `masses` n arrays float32 [layers, heads], the attention on the span (NaN there).
    """

    def __init__(self, span: tuple[int, int], shape: tuple[int, int]) -> None:
        self.span, self.shape = span, shape
        self.targets: list[np.ndarray] = []
        self.masses: list[np.ndarray] = []

    def begin_step(self) -> None:
        """Called before the model predicts the next token."""
        self.targets.append(np.full(self.shape, -1))
        self.masses.append(np.full(self.shape, np.nan, dtype=np.float32))

    def __call__(self, call: Call) -> None:
        """Reduce the row of one layer. The last key is the query's own token, so a cut cache keeps its positions."""
        if call.query.shape[2] != 1 or not self.targets:
            return
        rows = attention_rows(call)[0, :, 0]
        self.targets[-1][call.layer] = rows.argmax(-1).cpu().numpy()
        self.masses[-1][call.layer] = rows[:, slice(*self.span)].sum(-1).cpu().numpy()


@contextmanager
def probing(probe: Probe) -> Iterator[Probe]:
    """Let the probe listen to every model of this process; it is gone when the block ends."""
    LISTENERS.append(probe)
    try:
        yield probe
    finally:
        LISTENERS.remove(probe)
