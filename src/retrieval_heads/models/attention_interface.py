"""A way into every model's attention: one wrapper around the registered attention function, for as long as
needed.

transformers looks the attention function up by name at every call
(https://huggingface.co/docs/transformers/en/attention_interface). `intercepted` registers a wrapper under a
fresh name, with the mask function of the wrapped one under the same name (without it causality and sliding
windows are silently lost), switches the model to it, and takes everything back. Interceptions nest: each
wraps the one before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

# (module, query, key, value, attention_mask, call, options) -> (output, weights); `call` is the wrapped
# function.
Interceptor = Callable[..., tuple[torch.Tensor, torch.Tensor | None]]
# For interceptors that need no mask: flash attention makes none where nothing is padded.
NO_MASKS = "flash_attention_2"
_PREFIX = "intercepted_"
_numbers = count()


def eager_attention(module: torch.nn.Module, *args, **options) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The plain attention of the file that defines `module`: each architecture has its own (soft cap, sinks ...)."""
    return sys.modules[type(module).__module__].eager_attention_forward(module, *args, **options)


def attention_function(name: str) -> Callable:
    """The attention function that transformers calls under `name`."""
    return eager_attention if name == "eager" else AttentionInterface._global_mapping[name]


@contextmanager
def intercepted(
    model: PreTrainedModel, interceptor: Interceptor, kernel: str, masks: str | None = None
) -> Iterator[None]:
    """Send every attention call of `model` through `interceptor` inside the block.

    `kernel`: the attention to wrap, `sdpa` or `eager`, when the model is not intercepted yet. Flash attention
    reads its own name back from the config, so that it cannot be wrapped under another. `masks`: the attention whose
    masks are made, that of the wrapped one when None.
    """
    before = model.config._attn_implementation
    inner = before if before.startswith(_PREFIX) else kernel
    call = attention_function(inner)

    def attend(module, query, key, value, attention_mask, **options):
        return interceptor(module, query, key, value, attention_mask, call, options)

    name = f"{_PREFIX}{next(_numbers)}"
    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, AttentionMaskInterface._global_mapping[masks or inner])
    try:
        model.set_attn_implementation(name)
        yield
    finally:
        model.set_attn_implementation(before)
        del AttentionInterface._global_mapping[name], AttentionMaskInterface._global_mapping[name]
