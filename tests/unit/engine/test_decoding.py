"""Greedy decoding: where it stops, and that rows of a batch do not touch each other."""

from __future__ import annotations

import tiny_models
import torch
from tiny_families import END, NEWLINE, VOCABULARY
from torch.utils._python_dispatch import TorchDispatchMode

from retrieval_heads.engine.decoding import StopRule, confirmed
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.single_steps import greedy
from retrieval_heads.masking.masks import HeadMask, masked
from retrieval_heads.models.loading import wrap

IDS = torch.randint(2, 94, (24,), generator=torch.Generator().manual_seed(5)).tolist()


def answer(loaded, max_new_tokens: int = 10) -> list[int]:
    prefix = PrefixCache(loaded)
    prefix.prefill(IDS[:-1])
    with branched(loaded, prefix.cache) as branch:
        return greedy(loaded, branch, IDS[-1], max_new_tokens=max_new_tokens)[0]


def model_that_stops_with(token: int, step: int):
    """A tiny Llama whose greedy answer is `token` at `step`, because a hook raises that logit."""
    loaded = wrap(tiny_models.build("llama", attention="sdpa"), tiny_models.tokenizer())
    calls = []

    def raise_token(module, args, output):
        calls.append(1)
        if len(calls) == step + 1:
            output[..., token] = 1e4

    loaded.model.get_output_embeddings().register_forward_hook(raise_token)
    return loaded


def test_at_most_max_new_tokens():
    loaded = tiny_models.loaded("llama")
    assert len(answer(loaded, 3)) == 3
    assert answer(loaded, 10)[:3] == answer(loaded, 3)


def test_stops_at_the_end_token_which_is_kept():
    emitted = answer(model_that_stops_with(END, 4))
    assert len(emitted) == 5 and emitted[-1] == END


def test_stops_at_a_newline():
    loaded = model_that_stops_with(NEWLINE, 2)
    emitted = answer(loaded)
    assert len(emitted) == 3 and emitted[-1] == NEWLINE
    assert StopRule(loaded).text([5, 6, NEWLINE]) == "w5 w6"


def test_newlines_in_front_of_the_first_text_end_nothing():
    """One row, and the same answer with a draft that is right, wrong or none."""
    loaded = model_that_stops_with(NEWLINE, 0)
    emitted = answer(loaded, 6)
    assert len(emitted) == 6 and emitted[0] == NEWLINE and StopRule(loaded).text(emitted) != ""
    stop = StopRule(loaded)
    assert not stop(NEWLINE, []) and not stop(NEWLINE, [NEWLINE, NEWLINE])
    assert stop(NEWLINE, [NEWLINE, 5]) and stop(NEWLINE) and stop(END, [])
    for guess in ([NEWLINE, NEWLINE, 5, NEWLINE, 6], [NEWLINE, NEWLINE, 5, NEWLINE]):
        assert confirmed([NEWLINE, NEWLINE, 5, NEWLINE, 6, 7][: len(guess) + 1], guess, stop)[0] == guess[:4]
    assert confirmed([NEWLINE, 7], [NEWLINE], stop, [5]) == ([NEWLINE], True)


def test_every_end_token_of_the_generation_config_stops():
    loaded = tiny_models.loaded("qwen2")
    loaded.model.generation_config.eos_token_id = [END, 7]
    try:
        stop = StopRule(loaded)
    finally:
        loaded.model.generation_config.eos_token_id = END
    assert stop(7) and stop(END) and stop(NEWLINE) and not stop(8)


def test_text_has_no_special_tokens():
    assert StopRule(tiny_models.loaded("llama")).text([5, END]) == "w5"
    assert StopRule(tiny_models.loaded("llama")).text([]) == ""


def test_rows_are_independent_and_finish_by_themselves():
    loaded = tiny_models.loaded("llama")
    prefix = PrefixCache(loaded)
    prefix.prefill(IDS[:-1])
    masks = [None, HeadMask(((0, 1), (2, 0))), None, HeadMask(((1, 1),))]
    with branched(loaded, prefix.cache, rows=4) as branch, masked(loaded, masks):
        rows = greedy(loaded, branch, IDS[-1], rows=4, max_new_tokens=8)
    alone = answer(loaded, 8)
    assert rows[0] == rows[2] == alone
    assert rows[1] != alone and rows[3] != alone
    assert answer(loaded, 8) == alone  # the prompt's cache was not touched


def test_a_block_equals_single_tokens():
    loaded = tiny_models.loaded("mistral")
    prefix = PrefixCache(loaded)
    prefix.prefill(IDS[:-6])
    with branched(loaded, prefix.cache) as branch:
        block = forward(loaded, [IDS[-6:]], branch)
    with branched(loaded, prefix.cache) as branch:
        for token in IDS[-6:]:
            single = forward(loaded, [[token]], branch)
        assert forward(loaded, [[]], branch) is None
    assert torch.allclose(block, single, atol=1e-4)


def test_the_stop_rule_looks_tokens_up_and_decodes_none(monkeypatch):
    loaded = tiny_models.loaded("llama")
    assert StopRule(loaded).stops == {END, NEWLINE}
    # It is made for every prompt; the vocabulary is read once.
    monkeypatch.setattr(loaded.tokenizer, "decode", None)
    monkeypatch.setattr(loaded.tokenizer, "batch_decode", None)
    stop = StopRule(loaded)
    assert [token for token in range(97) if stop(token)] == [NEWLINE, END]


def test_no_float32_copy_of_the_vocabulary_is_made():
    """Only its argmax is asked for."""
    model = tiny_models.build("llama", attention="sdpa").bfloat16()
    loaded = wrap(model, tiny_models.tokenizer())

    class Copies(TorchDispatchMode):
        made = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            wide = isinstance(result, torch.Tensor) and result.shape[-1:] == (VOCABULARY,)
            self.made += wide and result.dtype == torch.float32
            return result

    with Copies() as copies:
        answer(loaded, 4)
    assert copies.made == 0
