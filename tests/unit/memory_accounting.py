"""Bytes of tensors as torch hands them out, counted call by call; on fake tensors, so that any size can be tried."""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import tiny_models
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from retrieval_heads.costs.memory import PROBED, ROWS_EACH
from retrieval_heads.costs.shape import Shape, read_shape
from retrieval_heads.detection.attention_trace import answer
from retrieval_heads.detection.detector import detect
from retrieval_heads.downstream.lm.masked import MaskedLM
from retrieval_heads.engine.lookup import DRAFT_TOKENS
from retrieval_heads.engine.prefill import SIDE_BY_SIDE, feed
from retrieval_heads.masking import niah
from retrieval_heads.masking.head_means import calibrate_means
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models.loading import Loaded, wrap
from retrieval_heads.models.rotary import ALWAYS_THE_SAME
from retrieval_heads.prompts.cells import Cell, Prompt


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
        loaded = SimpleNamespace(
            model=model, info=SimpleNamespace(takes_blocks=True, kernel=kernel, rotary=ALWAYS_THE_SAME)
        )
        cache = DynamicCache(config=model.config)
        accountant = Accountant([*model.parameters(), *model.buffers()])
        with accountant:
            feed(loaded, cache, [[0] * tokens])
        return model.num_parameters(), accountant.peak, accountant.now


# Real sizes are told by the shape alone; here every term of the estimate is large against the rest.
SMALL = {
    "vocab_size": 512,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "head_dim": 32,
    "max_position_embeddings": 4096,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
FAMILIES = {
    "llama": {"num_key_value_heads": 8},
    "qwen3": {"num_key_value_heads": 2},
    "phi3": {"num_key_value_heads": 4, "sliding_window": None},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 64},
    "gemma2": {
        "num_key_value_heads": 4,
        "sliding_window": 64,
        "attn_logit_softcapping": 50.0,
        "query_pre_attn_scalar": 32,
    },
}
SCORES = ("copy_count", "query_focused")
# New tokens of an answer, as many as a draft of the engine may have and one more; head sets side by side.
NEW, SETS, QUESTIONS = DRAFT_TOKENS + 1, 6, 5


@cache
def small_model(family: str) -> tuple[Loaded, Shape]:
    """A random float32 model behind the engine, and its shape."""
    config = AutoConfig.for_model(family, **SMALL, **FAMILIES[family])
    torch.manual_seed(0)
    attention = "eager" if family == "gemma2" else "sdpa"
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    # Every answer ends with its first token, behind the draft that is tried first: it is the peak of the answers.
    model.generation_config.eos_token_id = list(range(SMALL["vocab_size"]))
    return wrap(model, tiny_models.tokenizer()), read_shape(config.to_dict())


def unlike_prompts(tokens: int, count: int, question: int = 8) -> list[Prompt]:
    """Prompts that share no first token, with an answer as long as the longest draft. question: its tokens."""
    answer, end = 4, 4 + DRAFT_TOKENS
    cell = Cell("needle", "haystack", tokens, 0, 1, end, answer, end, tokens - question, tokens)
    ids = [2 + place % 400 for place in range(tokens)]
    return [Prompt((402 + number, *ids[1:]), replace(cell, depth=number)) for number in range(count)]


def job_bytes(loaded: Loaded, kind: str, tokens: int) -> int:
    """Most bytes that a job of one kind (costs.memory) holds at a time beside the weights."""
    scope = "all" if kind == "masked_all" else "decode"
    sets = {str(n): HeadMask(((n % 2, n % 8),), scope=scope) for n in range(SETS)}
    accountant = Accountant([*loaded.model.parameters(), *loaded.model.buffers()])
    with accountant:
        if kind == "detection":
            # Questions are fed together, and not apart, where cells are answered side by side.
            prompts = unlike_prompts(tokens, SIDE_BY_SIDE, PROBED if loaded.info.takes_back else 8)
            list(detect(loaded, prompts, max_new_tokens=NEW, scores=SCORES))
        elif kind == "means":
            calibrate_means(loaded, [prompt.ids for prompt in unlike_prompts(tokens, 2)])
        elif kind == "downstream":
            ids = [list(prompt.ids) for prompt in unlike_prompts(tokens, QUESTIONS)]
            lm = MaskedLM(loaded)
            way = lm.side_by_side if loaded.info.takes_back else lm.padded
            # Answers that go on to their limit.
            way.ends = frozenset()
            list(way.answer(ids, dict(list(sets.items())[:ROWS_EACH]), [], NEW, QUESTIONS))
        elif kind == "trace":
            answer(loaded, unlike_prompts(tokens, 1)[0], [(1, 0)], 4)
        else:
            prompts = unlike_prompts(tokens, 1 if scope == "all" else SIDE_BY_SIDE)
            list(niah.run(loaded, prompts, sets, max_new_tokens=NEW, decode_batch=SETS))
    return accountant.peak
