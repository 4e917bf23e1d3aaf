"""What each head writes toward the emitted token, from the answer span against from everywhere else.

The score of Gema et al. 2026 (LOCOS, https://arxiv.org/abs/2607.01002): at a step that emits token w, a head
writes a[j]·u_w·W_O·v[j] from position j, u_w being the token's row of the output embedding. As there, this is
the direct path: the final norm, and norms or scales behind W_O in some families, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from retrieval_heads.engine.attention.weights import attended, weighted_values
from retrieval_heads.models.loading import Loaded


class ContributionProbe:
    """Listener of `shared_prefix.branched` for one row; `span`: token positions [start, end) of the answer."""

    def __init__(self, loaded: Loaded, span: tuple[int, int]):
        self.loaded, self.span = loaded, span
        self._contrasts: dict[int, list[torch.Tensor]] = {}

    def __call__(self, layer: int, rows: torch.Tensor, first: int, values: tuple[torch.Tensor, ...]) -> None:
        """Keep Σ_on a·v − Σ_off a·v of every head, [queries, heads, value_dim]; the span lies in the first part."""
        everything = attended(rows, values).float()
        start, end = (max(0, position - first) for position in self.span)
        on_span = weighted_values(rows[..., start:end], values[0][..., start:end, :]).float()
        self._contrasts.setdefault(layer, []).append((2 * on_span - everything)[0].transpose(0, 1))

    def take_back(self, queries: int) -> None:
        """Forget the last queries: their tokens turned out not to belong to the answer."""
        for found in self._contrasts.values():
            found[-1] = found[-1][:-queries]

    def score(self, emitted: Sequence[int]) -> torch.Tensor:
        """Mean over steps, float32 [layers, heads], NaN where there is no head; the last probed tokens are
        the steps.
        """
        info = self.loaded.info
        unembedding = self.loaded.model.get_output_embeddings().weight
        tokens = torch.tensor(list(emitted), device=unembedding.device)
        score = torch.full((info.layers, info.max_heads), torch.nan)
        for layer, found in self._contrasts.items():
            contrast = torch.cat(found)[-len(emitted) :]
            direction = pulled_back(info.projections[layer], unembedding[tokens], contrast.shape[1:].numel())
            written = (contrast * direction.view_as(contrast).to(contrast)).sum(-1)
            score[layer, : info.heads[layer]] = written.mean(0).cpu()
        return score


def pulled_back(projection: torch.nn.Module, directions: torch.Tensor, width: int) -> torch.Tensor:
    """W_Oᵀ·u for every row u of `directions` [n, hidden]: [n, width]. Works for any linear module, quantized
    ones too.
    """
    weight = next(projection.parameters())
    dtype = weight.dtype if weight.dtype.is_floating_point else directions.dtype
    with torch.inference_mode(False), torch.enable_grad():
        joined = torch.zeros(len(directions), width, dtype=dtype, device=weight.device, requires_grad=True)
        written = projection(joined)
        [pulled] = torch.autograd.grad(written, joined, directions.detach().clone().to(written))
    return pulled.float()
