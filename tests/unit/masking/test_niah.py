"""Masked needle runs: one prefill for all head sets of scope `decode`, and the same answers as one run at a
time.
"""

from __future__ import annotations

import time
from dataclasses import replace
from weakref import WeakSet

import pytest
import tiny_models

from retrieval_heads.detection.detector import detect
from retrieval_heads.engine import prefill
from retrieval_heads.engine.batched_decoding import Rows
from retrieval_heads.engine.decoding import StopRule
from retrieval_heads.engine.lookup import Passages
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.single_steps import greedy
from retrieval_heads.masking import side_by_side
from retrieval_heads.masking.head_means import calibrate_means
from retrieval_heads.masking.masks import HeadMask, masked
from retrieval_heads.masking.niah import run

NEW = 6


def head_sets(loaded) -> dict[str, HeadMask | None]:
    first, last = loaded.info.attention_layers[0], loaded.info.attention_layers[-1]
    return {
        "unmasked": None,
        "nothing": HeadMask(()),
        "a": HeadMask(((first, 0), (last, 2))),
        "b": HeadMask(((last, 1),)),
        "uniform": HeadMask(((first, 0),), mode="zero_query"),
        "mean": HeadMask(((first, 0),), mode="mean_output"),
        "everywhere": HeadMask(((first, 0),), scope="all"),
        "everywhere b": HeadMask(((last, 1),), scope="all"),
    }


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gpt_oss", "qwen3_next", "deepseek_v3", "jamba"])
def test_batched_head_sets_equal_single_runs(family):
    loaded, prompts = tiny_models.loaded(family), tiny_models.prompts(lengths=(48,))
    sets, means = head_sets(loaded), calibrate_means(loaded, [prompts[0].ids])
    together = {r.cell: r for r in run(loaded, prompts, sets, max_new_tokens=NEW, decode_batch=8, means=means)}
    for prompt in prompts:
        for name, mask in sets.items():
            [alone] = run(loaded, [prompt], {name: mask}, max_new_tokens=NEW, decode_batch=1, means=means)
            assert together[prompt.cell].responses[name] == alone.responses[name]
    unmasked = {r.cell: r.response for r in detect(loaded, prompts, max_new_tokens=NEW)}
    for cell, result in together.items():
        assert list(result.responses) == list(sets)
        assert result.responses["unmasked"] == result.responses["nothing"] == unmasked[cell]


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen3_next"])
def test_answers_are_those_of_decoding_token_by_token(family):
    """The needle is tried as a draft of the answer; here it is made the answer, so that drafts come true."""
    loaded, [prompt] = tiny_models.loaded(family), tiny_models.prompts(lengths=(48,), depths=(50,))
    sets = {name: mask for name, mask in head_sets(loaded).items() if name in ("unmasked", "a", "b")}
    expected = {}
    for needle in (None, "unmasked", "a"):
        ids = list(prompt.ids)
        if needle:
            ids[prompt.cell.answer_start : prompt.cell.needle_end] = expected[needle][: len(prompt.ids)][:4]
        cell = replace(prompt, ids=tuple(ids))
        for name, mask in sets.items():
            prefix = PrefixCache(loaded)
            prefix.prefill(cell.ids[:-1])
            with branched(loaded, prefix.cache) as branch, masked(loaded, mask):
                [expected[name]] = greedy(loaded, branch, cell.ids[-1], max_new_tokens=NEW)
        for rows in (1, 2, 3):
            [result] = run(loaded, [cell], sets, max_new_tokens=NEW, decode_batch=rows)
            stop = StopRule(loaded)
            assert result.responses == {name: stop.text(emitted) for name, emitted in expected.items()}


def test_one_prefill_serves_every_head_set_of_scope_decode():
    loaded, prompts = tiny_models.loaded("llama"), tiny_models.prompts()
    sets = {str(n): HeadMask(((0, n % 4), (1, n // 4))) for n in range(16)}
    many = sum(r.prefilled_tokens for r in run(loaded, prompts, sets, max_new_tokens=2, decode_batch=5))
    one = sum(r.prefilled_tokens for r in run(loaded, prompts, {"unmasked": None}, max_new_tokens=2, decode_batch=5))
    assert many == one < 0.75 * sum(len(prompt.ids) for prompt in prompts)


def test_scope_all_prefills_for_each_head_set():
    loaded, [prompt] = tiny_models.loaded("llama"), tiny_models.prompts(lengths=(48,), depths=(50,))
    sets = {"a": HeadMask(((0, 0),), scope="all"), "b": HeadMask(((0, 1),), scope="all")}
    [result] = run(loaded, [prompt], sets, max_new_tokens=2, decode_batch=2)
    assert result.prefilled_tokens == 2 * len(prompt.ids)


def test_masks_change_answers():
    loaded, prompts = tiny_models.loaded("llama"), tiny_models.prompts()
    sets = head_sets(loaded)
    del sets["mean"]
    for result in run(loaded, prompts, sets, max_new_tokens=NEW, decode_batch=8):
        assert result.responses["a"] != result.responses["unmasked"]
        assert result.responses["everywhere"] != result.responses["unmasked"]


@pytest.mark.parametrize("nothing", [None, HeadMask(())])
def test_the_unmasked_row_comes_first_and_its_response_is_tried_under_the_masks(monkeypatch, nothing):
    loaded, [prompt] = tiny_models.loaded("llama"), tiny_models.prompts(lengths=(48,), depths=(50,))
    feed, calls = Rows.feed, []
    monkeypatch.setattr(Rows, "feed", lambda self, ids: calls.append([len(row) for row in ids]) or feed(self, ids))
    options = {"max_new_tokens": NEW, "decode_batch": 8}
    [alone] = run(loaded, [prompt], {"unmasked": nothing}, **options)
    before = list(calls)
    list(run(loaded, [prompt], {"masked": HeadMask(((0, 0),)), "unmasked": nothing}, **options))
    # The last prompt token, and of the unmasked response what may come in front of the last new token.
    tried = [1 + min(alone.emitted_tokens, NEW - 1)]
    assert calls[: 2 * len(before) + 1] == [*before, *before, tried] and before[0] == [1] != tried


def test_a_prompt_begins_when_another_has_ended_and_beside_the_rest(monkeypatch):
    loaded, prompts = tiny_models.loaded("llama"), tiny_models.prompts(lengths=(48,), depths=(0, 50, 100))[:3]
    sets = {"unmasked": None, **{str(n): HeadMask(((0, n % 4), (1, n // 4))) for n in range(8)}}
    options = {"max_new_tokens": NEW, "decode_batch": 5}
    expected = {prompt.cell: next(run(loaded, [prompt], sets, **options)).responses for prompt in prompts}
    monkeypatch.setattr(prefill, "SIDE_BY_SIDE", 2)
    feed, calls, alive = Rows.feed, [], WeakSet()

    def noted(*args):
        passages = Passages(*args)
        alive.add(passages)
        return passages

    monkeypatch.setattr(side_by_side, "Passages", noted)

    def watched(self, ids):
        # What was made for prompts that have ended is forgotten.
        assert len(alive) <= 2
        calls.append(tuple(dict.fromkeys(id(keys) for keys, _ in self.cache.layers[0].prompts)))
        return feed(self, ids)

    monkeypatch.setattr(Rows, "feed", watched)
    assert {result.cell: result.responses for result in run(loaded, prompts, sets, **options)} == expected
    first, second, third = dict.fromkeys(prompt for call in calls for prompt in call)
    assert {frozenset(call) for call in calls} >= {frozenset((first, second)), frozenset((second, third))}
    assert not any({first, third} <= set(call) for call in calls)


@pytest.mark.parametrize("scope", ["decode", "all"])
def test_seconds_are_those_of_the_prompts_and_not_of_who_takes_the_results(scope):
    loaded, prompts = tiny_models.loaded("llama"), tiny_models.prompts(lengths=(48,))
    sets = {"unmasked": None, "a": HeadMask(((0, 0),), scope=scope)}
    started, waited, counted = time.perf_counter(), 0.0, 0.0
    for result in run(loaded, prompts, sets, max_new_tokens=NEW, decode_batch=8):
        counted += result.seconds
        time.sleep(0.2)
        waited += 0.2
    assert len(prompts) > 2 and 0 < counted <= time.perf_counter() - started - waited
