"""Bytes of tensors as torch hands them out, counted call by call; on fake tensors, so that any size can be tried."""

from __future__ import annotations

import weakref
from types import SimpleNamespace

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from retrieval_heads.engine.prefill import feed


class Accountant(TorchDispatchMode):
    """Sums the storages that operations make, less those that are freed. peak: bytes. `known` tensors do not count."""

    def __init__(self, known):
        super().__init__()
        self._bytes = {tensor.untyped_storage()._cdata: 0 for tensor in known}
        self._known = [tensor.untyped_storage() for tensor in known]
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage) -> None:
        if storage._cdata in self._bytes:
            return
        self._bytes[storage._cdata] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, storage._cdata)

    def _drop(self, key: int) -> None:
        self.now -= self._bytes.pop(key, 0)


def prefill_bytes(architecture: dict, tokens: int, dtype: str, kernel: str) -> tuple[int, int, int]:
    """The engine's prefill of one prompt: parameters, peak bytes of cache and activations, bytes of the cache left."""
    plain = {key: value for key, value in architecture.items() if key not in ("source", "parameters")}
    with FakeTensorMode():
        config = AutoConfig.for_model(**plain, pad_token_id=0, bos_token_id=0, eos_token_id=0)
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), attn_implementation=kernel)
        model.eval().requires_grad_(False)
        loaded = SimpleNamespace(model=model, info=SimpleNamespace(takes_blocks=True, kernel=kernel))
        cache = DynamicCache(config=model.config)
        accountant = Accountant([*model.parameters(), *model.buffers()])
        with accountant:
            feed(loaded, cache, [[0] * tokens])
        return model.num_parameters(), accountant.peak, accountant.now
