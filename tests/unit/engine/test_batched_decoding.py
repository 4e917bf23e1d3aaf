"""Prompts that are answered side by side, with drafts: each gets what it would get alone."""

from __future__ import annotations

import pandas as pd
import pytest
import tiny_models
import torch
from tiny_families import END, FAMILIES

from retrieval_heads.costs import memory
from retrieval_heads.detection.detector import ROWS, TOGETHER, detect
from retrieval_heads.detection.scores import SCORES
from retrieval_heads.engine.batched_decoding import side_by_side
from retrieval_heads.engine.decoding import greedy
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.probe import Probe
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.speculative import Draft, greedy_with_drafts

IDS = torch.randint(2, 94, (48,), generator=torch.Generator().manual_seed(5)).tolist()
SPAN = (3, 9)
STEPS = 8


def cache_of(loaded, ids):
    prefix = PrefixCache(loaded)
    prefix.prefill(ids[:-1])
    return prefix.cache


def alone(loaded, ids, max_new_tokens: int = STEPS):
    """Greedy ids without drafts, and the probe that read them."""
    probe = Probe(loaded.info, SPAN)
    with branched(loaded, cache_of(loaded, ids), listeners=[probe]) as branch:
        return greedy(loaded, branch, ids[-1], max_new_tokens=max_new_tokens)[0], probe.reading()


def together(loaded, prompts, sources):
    """Greedy ids and readings of prompts side by side, each with the draft that stands for it in `sources`."""
    probes = [Probe(loaded.info, SPAN) for _ in prompts]
    drafts = [Draft(ids[-1], tuple(source)) for ids, source in zip(prompts, sources, strict=True)]
    with side_by_side(loaded, [cache_of(loaded, ids) for ids in prompts], [[probe] for probe in probes]) as rows:
        emitted = greedy_with_drafts(rows, drafts, max_new_tokens=STEPS)
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
    emitted, found = together(loaded, prompts, sources)
    assert emitted == list(expected)
    for got, want in zip(found, readings, strict=True):
        assert torch.equal(got.argmax, want.argmax)
        assert torch.allclose(got.span_mass, want.span_mass, atol=1e-5)


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
    with side_by_side(loaded, caches, [[], []]) as rows:
        greedy_with_drafts(rows, [Draft(IDS[23], (5, 6)), Draft(IDS[39], ())], max_new_tokens=3)
    for cache, keys in zip(caches, before, strict=True):
        assert all(torch.equal(layer.keys, kept) for layer, kept in zip(cache.layers, keys, strict=True))


def test_the_plan_counts_what_is_held_side_by_side():
    """The plan knows no torch, so that the two numbers stand in both places."""
    assert (memory.TOGETHER, memory.DETECTED) == (TOGETHER, ROWS)


@pytest.mark.parametrize("family", FAMILIES)
def test_detection_of_cells_side_by_side_is_that_of_single_cells(family, matrix):
    """Every family: those whose caches do not allow it answer one cell at a time."""
    loaded, prompts = tiny_models.loaded(family), tiny_models.prompts()
    assert len(prompts) > 1 and sum(len(prompt.ids) for prompt in prompts) < TOGETHER
    many, single = (
        {r.cell: r for r in detect(loaded, prompts, max_new_tokens=6, scores=SCORES, steps=True, rows=rows)}
        for rows in (ROWS, 1)
    )
    for cell, result in single.items():
        assert many[cell].response_ids == result.response_ids
        assert many[cell].prefilled_tokens == result.prefilled_tokens
        pd.testing.assert_frame_equal(many[cell].scores, result.scores, atol=1e-4, rtol=1e-3)
        pd.testing.assert_frame_equal(many[cell].steps, result.steps, atol=1e-4, rtol=1e-3)
    matrix.setdefault(family, {}).update(info=loaded.info, cells=True)
