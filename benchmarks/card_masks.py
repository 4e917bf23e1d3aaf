"""Whether masks on a card are those of plain code: every mode and scope against float64 on eager attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext

import torch
from card_checks import prompts
from random_models import ORGANISM

from retrieval_heads.engine.batched_decoding import Rows
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.masking.head_means import calibrate_means
from retrieval_heads.masking.masks import MODES, SCOPES, HeadMask, masked, masked_tokens
from retrieval_heads.models import loading

# Largest error of masked logits, as a share of the largest logit, by dtype.
TOLERANCES = {"float32": 1e-3, "bfloat16": 0.1}


def masks(device: str) -> Iterator[tuple]:
    """Every mode and scope against the same model in float64 on eager attention, masked by hooks of its own."""
    for dtype in TOLERANCES:
        loaded = loading.load(str(ORGANISM), dtype=dtype, device=device)
        ids = prompts(loaded.tokenizer, lengths=(256,), depths=(50,))[0].ids
        means = calibrate_means(loaded, [ids])
        heads = ((0, 0), (1, 2), (loaded.info.layers - 1, 1))
        for mode in MODES:
            for scope in SCOPES:
                mask = HeadMask(heads, mode=mode, scope=scope)
                got, want = engine_logits(loaded, ids, mask, means), reference_logits(device, dtype, ids, mask, means)
                error = float((got.double() - want).abs().max() / want.abs().max())
                same = int(got.argmax()) == int(want.argmax())
                told = f"error {error:.1e}, same token {same}"
                yield f"{mode}, {scope}, {dtype}", told, f"error below {TOLERANCES[dtype]}", error < TOLERANCES[dtype]


def engine_logits(loaded, ids: Sequence[int], mask: HeadMask, means) -> torch.Tensor:
    """Logits behind the last token: from a shared prefill, as masked runs do, or from one under the mask."""
    prefix = PrefixCache(loaded)
    with nullcontext() if mask.shares_prefill else masked(loaded, mask, means):
        prefix.prefill(ids[:-1])
    if not mask.shares_prefill:
        with branched(loaded, prefix.cache) as branch, masked(loaded, mask, means):
            return forward(loaded, [ids[-1:]], branch)[0]
    rows = Rows(loaded)
    # Beside an unmasked row, whose token must be left alone.
    rows.add(prefix.kept(), 2)
    with rows.attending(), masked_tokens(loaded, [mask, None], means) as choose:
        choose([0, 1])
        return rows.feed([ids[-1:], ids[-1:]])[0]


@torch.inference_mode()
def reference_logits(device: str, dtype: str, ids: Sequence[int], mask: HeadMask, means) -> torch.Tensor:
    """The same without the engine. A query of zeros is one of zeros after its rotation, too."""
    loaded = loading.load(str(ORGANISM), dtype=dtype, device=device, attention="eager")
    model, size = loaded.model.double(), loaded.info.value_dim[0]

    def fill(layer: int, head: int, value):
        def hook(module, args, output=None):
            changed = (args[0] if output is None else output).clone()
            changed[..., head * size : (head + 1) * size] = value
            return changed if output is not None else (changed,)

        attention = model.model.layers[layer].self_attn
        if mask.mode == "zero_query":
            return attention.q_proj.register_forward_hook(hook)
        return attention.o_proj.register_forward_pre_hook(lambda module, args: hook(module, args))

    batch = torch.tensor([list(ids)], device=model.device)
    first = 0 if mask.scope == "all" else len(ids) - 1
    cache = model(batch[:, :first], use_cache=True).past_key_values if first else None
    with ExitStack() as stack:
        for layer, head in mask.heads:
            value = means[layer][head].to(model.device).double() if mask.mode == "mean_output" else 0.0
            stack.callback(fill(layer, head, value).remove)
        return model(batch[:, first:], past_key_values=cache, use_cache=True).logits[0, -1]
