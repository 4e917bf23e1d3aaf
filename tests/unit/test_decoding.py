"""Greedy decoding: where it stops, and that rows of a batch do not touch each other."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from retrieval_heads.branch import branched
from retrieval_heads.decoding import StopRule, forward, greedy, greedy_with_draft
from retrieval_heads.masking import HeadMask, masked
from retrieval_heads.models import wrap
from retrieval_heads.prefix_cache import PrefixCache
from retrieval_heads.probe import Probe
from tiny_families import END, NEWLINE

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


@pytest.mark.parametrize("right", [0, 3, 7, 9])
@pytest.mark.parametrize("family", ["llama", "glm4", "gpt_neox"])
def test_a_draft_changes_neither_tokens_nor_readings(family, right):
    """Drafts that are right for so many tokens and then wrong; one is longer than the answer may be."""
    loaded = tiny_models.loaded(family)
    assert loaded.facts.takes_back
    prefix = PrefixCache(loaded)
    prefix.prefill(IDS[:-1])
    plain = Probe(loaded.facts, (3, 9))
    with branched(loaded, prefix.cache, listeners=[plain]) as branch:
        [expected] = greedy(loaded, branch, IDS[-1], max_new_tokens=8)
    draft = [*expected[:right], *[(token + 1) % 90 for token in expected[right:]], 5, 5]
    drafted = Probe(loaded.facts, (3, 9))
    with branched(loaded, prefix.cache, listeners=[drafted]) as branch:
        emitted = greedy_with_draft(
            loaded, branch, IDS[-1], source=draft, max_new_tokens=8, take_back=drafted.take_back
        )
    assert emitted == expected
    assert torch.equal(drafted.reading().argmax, plain.reading().argmax)
    assert torch.allclose(drafted.reading().span_mass, plain.reading().span_mass, atol=1e-5)


def test_a_draft_stops_at_the_end_token():
    loaded = tiny_models.loaded("llama")
    prefix = PrefixCache(loaded)
    prefix.prefill(IDS[:-1])
    expected = answer(loaded, 8)
    loaded.model.generation_config.eos_token_id = expected[3]
    try:
        with branched(loaded, prefix.cache) as branch:
            emitted = greedy_with_draft(
                loaded, branch, IDS[-1], source=expected, max_new_tokens=8, take_back=lambda tokens: None
            )
    finally:
        loaded.model.generation_config.eos_token_id = END
    assert emitted == expected[: expected.index(expected[3]) + 1]
