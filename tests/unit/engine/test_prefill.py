"""Reuse of prefixes: the same tokens and scores as a full prefill, with less work."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import tiny_models
from tiny_families import FAMILIES

from retrieval_heads.detection.detector import detect
from retrieval_heads.detection.scores import SCORES
from retrieval_heads.engine.prefill import PrefixCache, common_prefix, order_prompts


def results(loaded, prompts, **options):
    return {r.cell: r for r in detect(loaded, prompts, max_new_tokens=6, scores=SCORES, **options)}


@pytest.mark.parametrize("family", FAMILIES)
def test_reuse_changes_neither_tokens_nor_scores(family, matrix):
    loaded, prompts = tiny_models.loaded(family), tiny_models.prompts()
    shared, plain = results(loaded, prompts), results(loaded, prompts, reuse=False)
    for cell, result in plain.items():
        assert shared[cell].response_ids == result.response_ids
        pd.testing.assert_frame_equal(shared[cell].scores, result.scores, atol=1e-4, rtol=1e-3)
        assert result.prefilled_tokens == cell.prompt_tokens
    if loaded.info.takes_blocks:
        assert sum(r.prefilled_tokens for r in shared.values()) < 0.75 * sum(len(p.ids) for p in prompts)
    matrix.setdefault(family, {}).update(info=loaded.info, reuse=True)


def test_a_family_whose_cache_cannot_be_continued_is_prefilled_whole():
    loaded, prompts = tiny_models.loaded("jamba"), tiny_models.prompts()
    assert not loaded.info.takes_blocks
    shared, plain = results(loaded, prompts), results(loaded, prompts, reuse=False)
    for cell, result in shared.items():
        assert result.prefilled_tokens == cell.prompt_tokens
        assert result.response_ids == plain[cell].response_ids


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen3_next"])
def test_going_back_further_than_the_last_cut_is_right_too(family):
    """A prompt that was not announced, prompts out of order, and one that shares nothing."""
    loaded = tiny_models.loaded(family)
    first, second, third = (tiny_models.prompts()[i].ids for i in (2, 1, 0))
    other = tuple(reversed(first))
    prefix = PrefixCache(loaded)
    steps = ((first, second), (third, other), (other, second), (second, third), (third, third), (third, ()))
    for ids, following in steps:
        prefix.prefill(ids, following)
        alone = PrefixCache(loaded)
        alone.prefill(ids)
        for got, want in zip(prefix.cache.layers, alone.cache.layers, strict=True):
            if getattr(want, "keys", None) is not None:
                assert got.get_seq_length() == want.get_seq_length() == len(ids)
                window = min(got.keys.shape[-2], want.keys.shape[-2])
                assert (got.keys[..., -window:, :] - want.keys[..., -window:, :]).abs().max() < 1e-4


def test_identical_prompt_again_costs_nothing():
    loaded, prompt = tiny_models.loaded("llama"), tiny_models.prompts()[0]
    prefix = PrefixCache(loaded)
    assert prefix.prefill(prompt.ids) == len(prompt.ids)
    assert prefix.prefill(prompt.ids) == 0


def test_common_prefix():
    assert common_prefix((1, 2, 3), (1, 2, 4)) == 2
    assert common_prefix((1, 2), (1, 2, 3)) == 2
    assert common_prefix((), (1,)) == 0


def test_prompts_are_ordered_by_haystack_and_insertion_point():
    prompts = tiny_models.prompts()
    elsewhere = dataclasses.replace(prompts[0], cell=dataclasses.replace(prompts[0].cell, haystack="a"))
    ordered = order_prompts([*prompts, elsewhere])
    assert ordered[0] is elsewhere
    starts = [prompt.cell.needle_start for prompt in ordered[1:]]
    assert starts == sorted(starts)
