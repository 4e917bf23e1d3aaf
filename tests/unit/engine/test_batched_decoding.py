"""Prompts that are answered side by side, with drafts: each gets what it would get alone."""

from __future__ import annotations

from functools import partial
from itertools import islice

import pandas as pd
import pytest
import tiny_models
import torch
from tiny_families import END, FAMILIES, NEWLINE

from retrieval_heads.costs import memory
from retrieval_heads.detection.detector import detect
from retrieval_heads.detection.scores import SCORES, Probe
from retrieval_heads.engine import decoding
from retrieval_heads.engine.batched_decoding import Rows
from retrieval_heads.engine.decoding import Drafts, Start, StopRule, confirmed, stream_rows
from retrieval_heads.engine.lookup import DRAFT_TOKENS, Guesser, Passages
from retrieval_heads.engine.prefill import SIDE_BY_SIDE, TOGETHER, PrefixCache
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.single_steps import greedy
from retrieval_heads.masking.head_means import calibrate_means
from retrieval_heads.masking.masks import HeadMask, masked, masked_tokens

IDS = torch.randint(2, 94, (48,), generator=torch.Generator().manual_seed(5)).tolist()
SPAN = (3, 9)
STEPS = 8


def cache_of(loaded, ids):
    prefix = PrefixCache(loaded)
    prefix.prefill(ids[:-1])
    return prefix.cache


def answers(loaded, starts, **options) -> list[list[int]]:
    """Emitted ids of every row."""
    left = iter(starts)
    found = dict(stream_rows(loaded, lambda free: list(islice(left, free)), StopRule(loaded), **options))
    return [found[number] for number in range(len(starts))]


def alone(loaded, ids, max_new_tokens: int = STEPS):
    """Greedy ids without drafts, and the probe that read them."""
    probe = Probe(loaded.info, SPAN)
    with branched(loaded, cache_of(loaded, ids), listeners=[probe]) as branch:
        return greedy(loaded, branch, ids[-1], max_new_tokens=max_new_tokens)[0], probe.reading()


def together(loaded, prompts, sources, size: int = 8):
    """Greedy ids and readings of prompts side by side, each with the draft that stands for it in `sources`."""
    probes = [Probe(loaded.info, SPAN) for _ in prompts]
    starts = [
        Start(cache_of(loaded, ids), tuple(ids[-1:]), Passages(ids), tuple(source), listeners=[probe])
        for ids, source, probe in zip(prompts, sources, probes, strict=True)
    ]
    emitted = answers(loaded, starts, size=size, max_new_tokens=STEPS)
    return emitted, [probe.reading() for probe in probes]


@pytest.mark.parametrize("family", ["llama", "glm4", "gpt_neox", "opt"])
def test_drafts_and_neighbours_change_neither_tokens_nor_readings(family):
    """Prompts of other lengths, with drafts that are right for so many tokens and then wrong; one is too long."""
    loaded = tiny_models.loaded(family)
    assert loaded.info.takes_back
    prompts = [IDS[:length] for length in (24, 48, 31, 24)]
    expected, readings = zip(*(alone(loaded, ids) for ids in prompts), strict=True)
    sources = [
        [*answer[:right], *((token + 1) % 90 for token in answer[right:]), 5, 5]
        for answer, right in zip(expected, (0, 3, 8, 7), strict=True)
    ]
    for size in (4, 3, 1):
        emitted, found = together(loaded, prompts, sources, size)
        assert emitted == list(expected)
        for got, want in zip(found, readings, strict=True):
            assert torch.equal(got.argmax, want.argmax)
            assert torch.allclose(got.span_mass, want.span_mass, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "glm4", "gpt_neox", "opt"])
def test_rows_that_nobody_listens_to_emit_the_same(family):
    """Several rows behind each of two prompts, more than run at a time, some of them repeating themselves."""
    loaded = tiny_models.loaded(family)
    prompts = [IDS[:24], [*IDS[:20], *IDS[4:20]]]
    expected = [alone(loaded, ids, 80)[0] for ids in prompts]
    starts = [
        Start(cache, tuple(ids[-1:]), Passages(ids, (2, 12)), tuple(draft))
        for ids, cache, answer in zip(prompts, map(partial(cache_of, loaded), prompts), expected, strict=True)
        for draft in ((), answer[:5], answer[:1], [*answer[:2], 3, 3])
    ]
    for size in (1, 3, 8):
        emitted = answers(loaded, starts, size=size, max_new_tokens=80)
        assert emitted == [answer for answer in expected for _ in range(4)]


def test_tokens_with_masks_of_their_own_are_masked_as_rows_with_one():
    """Rows of several masks and modes, that leave and make room, against each mask alone."""
    loaded = tiny_models.loaded("llama")
    ids, means = IDS[:24], calibrate_means(loaded, [IDS])
    masks = [
        None,
        HeadMask(((0, 0), (2, 1)), scope="all"),
        HeadMask(((1, 2),), "zero_query", scope="all"),
        HeadMask(((0, 3), (1, 1)), "mean_output", scope="all"),
    ]
    expected = []
    for mask in masks:
        with branched(loaded, cache_of(loaded, ids)) as branch, masked(loaded, mask, means):
            expected += greedy(loaded, branch, ids[-1], max_new_tokens=20)
    starts = [Start(cache_of(loaded, ids), tuple(ids[-1:]), Passages(ids), mask=number) for number in range(4)]
    for size in (2, 4):
        masking = partial(masked_tokens, loaded, masks, means)
        emitted = answers(loaded, starts, size=size, max_new_tokens=20, masking=masking)
        assert emitted == expected
    assert len(set(map(tuple, expected))) == 4


def test_a_guess_is_kept_as_far_as_it_is_right():
    stop, draft = StopRule(tiny_models.loaded("llama")), [7, 8, 9]
    assert confirmed([*draft, END], draft, stop) == ([*draft, END], True)
    assert confirmed([*draft, 5], draft, stop) == ([*draft, 5], False)
    assert confirmed([7, 5, 9, 5], draft, stop) == ([7, 5], False)
    assert confirmed([7, END, 9, 5], [7, END, 9], stop) == ([7, END], True)
    # A newline in front of the first text ends nothing.
    assert confirmed([NEWLINE, *draft], draft, stop) == ([NEWLINE], False)


def test_guesses_follow_what_stood_before():
    guesser = Guesser(Passages([1, 2, 3, 4, 5, 6, 7, 8], (1, 4)))
    assert guesser.guess(9) == []
    guesser.add([2])
    # One token of the source is enough, where a guess costs nothing.
    assert guesser.guess(0) == [] and guesser.guess(4) == [3, 4, 5, 6]
    guesser.add([3])
    assert guesser.guess(0) == [4]
    guesser.add([5, 6])
    assert guesser.guess(9) == []
    guesser.add([7])
    assert guesser.guess(0) == [8]
    # A text that repeats itself is gone on with beyond its end.
    guesser.add([9, 9, 9, 9, 9])
    assert guesser.guess(6) == [9] * 6


def test_what_other_rows_wrote_behind_the_prompt_is_guessed():
    passages = Passages([1, 2, 3, 4])
    first, second = Guesser(passages), Guesser(passages)
    first.add([7, 8, 9, 5, 6])
    second.add([7, 8, 9])
    assert second.guess(2) == [5, 6] and second.guess(9) == [5, 6]
    second.add([5, 6, 1])
    assert second.guess(9) == []


def test_a_row_stops_at_the_end_token_and_the_others_go_on():
    loaded = tiny_models.loaded("llama")
    prompts = [IDS[:24], IDS[:40]]
    plain = [alone(loaded, ids)[0] for ids in prompts]
    end = next(token for token in plain[0] if token not in plain[1])
    loaded.model.generation_config.eos_token_id = end
    try:
        emitted, _ = together(loaded, prompts, plain)
    finally:
        loaded.model.generation_config.eos_token_id = END
    assert emitted == [plain[0][: plain[0].index(end) + 1], plain[1]]


def test_the_prompts_caches_are_left_alone():
    loaded = tiny_models.loaded("llama")
    caches = [cache_of(loaded, IDS[:24]), cache_of(loaded, IDS[:40])]
    before = [[layer.keys.clone() for layer in cache.layers] for cache in caches]
    starts = [Start(cache, (IDS[end],), Passages(IDS), (5, 6)) for cache, end in zip(caches, (23, 39), strict=True)]
    answers(loaded, starts, size=2, max_new_tokens=3)
    for cache, keys in zip(caches, before, strict=True):
        assert all(torch.equal(layer.keys, kept) for layer, kept in zip(cache.layers, keys, strict=True))


def test_the_plan_counts_what_is_held_side_by_side():
    """The plan knows no torch, so that the two numbers stand in both places."""
    assert (memory.TOGETHER, memory.SIDE_BY_SIDE) == (TOGETHER, SIDE_BY_SIDE)


@pytest.mark.parametrize("family", FAMILIES)
def test_detection_of_cells_side_by_side_is_that_of_single_cells(family, matrix):
    """Every family: those whose caches do not allow it answer one cell at a time."""
    loaded, prompts = tiny_models.loaded(family), tiny_models.prompts()
    assert len(prompts) > 1 and sum(len(prompt.ids) for prompt in prompts) < TOGETHER
    many, single = (
        {r.cell: r for r in detect(loaded, prompts, max_new_tokens=6, scores=SCORES, steps=True, rows=rows)}
        for rows in (SIDE_BY_SIDE, 1)
    )
    for cell, result in single.items():
        assert many[cell].response_ids == result.response_ids
        assert many[cell].prefilled_tokens == result.prefilled_tokens
        pd.testing.assert_frame_equal(many[cell].scores, result.scores, atol=1e-4, rtol=1e-3)
        pd.testing.assert_frame_equal(many[cell].steps, result.steps, atol=1e-4, rtol=1e-3)
    matrix.setdefault(family, {}).update(info=loaded.info, cells=True)


def asked(loaded, draft, drafts, monkeypatch) -> tuple[list[int], list[int]]:
    """Emitted ids of one row of a question, and how many tokens each call took."""
    taken, feed = [], Rows.feed
    with monkeypatch.context() as patch:
        patch.setattr(Rows, "feed", lambda self, ids: taken.append(len(ids[0])) or feed(self, ids))
        start = Start(cache_of(loaded, IDS), tuple(IDS[-1:]), Passages([]), tuple(draft), question="where?")
        options = {"size": 1, "max_new_tokens": STEPS, "drafts": drafts}
        return answers(loaded, [start], **options)[0], taken


def test_a_response_is_the_draft_of_the_next_row_of_its_question(monkeypatch):
    loaded, drafts = tiny_models.loaded("llama"), Drafts()
    monkeypatch.setattr(decoding, "free_tokens", lambda loaded: 0)
    expected = alone(loaded, IDS)[0]
    assert len(expected) == STEPS
    first, single = asked(loaded, [], drafts, monkeypatch)
    again, calls = asked(loaded, [], drafts, monkeypatch)
    assert first == again == expected
    # The last token that is fed, and all of the response but its last token, which ends it.
    assert len(single) > 1 and calls == [STEPS]


def test_of_a_draft_as_much_is_tried_as_came_true_last(monkeypatch):
    loaded, drafts = tiny_models.loaded("llama"), Drafts()
    monkeypatch.setattr(decoding, "free_tokens", lambda loaded: 0)
    expected = alone(loaded, IDS)[0]
    other = [*expected[:3], (expected[3] + 1) % 90, *expected[4:]]
    drafts.learn("where?", (), other)
    found, calls = asked(loaded, [], drafts, monkeypatch)
    assert found == expected and calls[0] == STEPS
    drafts.learn("where?", other, expected)
    assert drafts.of(Start(None, (), None, question="where?")) == (tuple(expected), 3)
    found, calls = asked(loaded, [], drafts, monkeypatch)
    # Three tokens at first; then it goes on along the draft, for it is right.
    assert found == expected and calls[0] == 1 + 3 and sum(calls) == STEPS
    assert drafts.of(Start(None, (), None, (7,), question="another")) == ((7,), DRAFT_TOKENS)
