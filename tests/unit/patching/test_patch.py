"""Patched runs against a reference in float64 that uses none of the engine, and what holds to the last bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny_models
import torch
from patching_reference import reference_logits
from tiny_families import FAMILIES

from retrieval_heads.engine.forward_calls import predictions
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.masking.masks import HeadMask, MaskError
from retrieval_heads.models.loading import Loaded
from retrieval_heads.patching import runs
from retrieval_heads.patching.counterparts import answer_ids
from retrieval_heads.patching.patch import PatchError, patched, recorded

KINDS = ("outputs", "weights")


def pair(length: int = 48):
    """A prompt, and the same with other tokens where the answer stands, within reach of the narrowest window."""
    [original] = tiny_models.prompts(lengths=(length,), depths=(100,))
    ids, cell = list(original.ids), original.cell
    ids[cell.answer_start : cell.answer_end] = [7, 31, 55, 80][: cell.answer_end - cell.answer_start]
    return original, replace(original, ids=tuple(ids))


def some_heads(loaded) -> tuple[tuple[int, int], ...]:
    layers = loaded.info.attention_layers
    return ((layers[0], 0), (layers[0], 3), (layers[-1], 1))


def patched_logits(loaded: Loaded, source, base, sets, what: str, at_once: int) -> torch.Tensor:
    """The engine: [rows, tokens, vocabulary] of the base run with the heads of the source run."""
    fed = [source.ids[-1], *answer_ids(source)[:-1]]
    first, second = PrefixCache(loaded, reuse=False), PrefixCache(loaded, reuse=False)
    first.prefill(source.ids[:-1])
    second.prefill(base.ids[:-1])
    with recorded(loaded, what) as (given, listeners), branched(loaded, first.cache, 1, listeners) as branch:
        runs._forced(loaded, branch, fed, 1, at_once)
    with branched(loaded, second.cache, len(sets)) as branch, patched(loaded, branch, sets, given, what):
        return runs._forced(loaded, branch, fed, len(sets), at_once)


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_patches_equal_the_reference(family, what, monkeypatch):
    loaded, (source, base) = tiny_models.loaded(family), pair()
    heads = some_heads(loaded)
    want = reference_logits(family, loaded, source.ids, base.ids, answer_ids(source), heads, what, monkeypatch)
    plain = reference_logits(family, loaded, source.ids, base.ids, answer_ids(source), (), what, monkeypatch)
    at_once = 4 if loaded.info.takes_blocks else 1
    sets = [HeadMask(()), HeadMask(heads)]
    floor, got = patched_logits(loaded, source, base, sets, what, at_once)
    assert (got - want).abs().max() < 1e-3 * want.abs().max()
    assert (floor - plain).abs().max() < 1e-3 * plain.abs().max()
    assert (want - plain).abs().max() > 1e-2 * want.abs().max(), "the patch changes nothing: nothing is tested"


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("family", ["llama", "mistral", "gpt_oss", "qwen3_next", "jamba"])
def test_the_empty_patch_changes_nothing_to_the_last_bit(family, what):
    loaded, (source, base) = tiny_models.loaded(family), pair()
    fed = [source.ids[-1], *answer_ids(source)[:-1]]
    at_once = 4 if loaded.info.takes_blocks else 1
    prefix = PrefixCache(loaded, reuse=False)
    prefix.prefill(base.ids[:-1])
    with branched(loaded, prefix.cache, 2) as branch:
        plain = runs._forced(loaded, branch, fed, 2, at_once)
    # Beside a row whose heads are patched, as alone.
    beside = patched_logits(loaded, source, base, [HeadMask(()), HeadMask(some_heads(loaded))], what, at_once)
    alone = patched_logits(loaded, source, base, [HeadMask(())] * 2, what, at_once)
    assert torch.equal(alone, plain)
    if family == "gpt_oss":
        # Its experts take the tokens of all rows together: another row that takes other experts moves the last bit.
        torch.testing.assert_close(beside[0], plain[0])
    else:
        assert torch.equal(beside[0], plain[0])
    # Nothing stays behind.
    with branched(loaded, prefix.cache, 2) as branch:
        assert torch.equal(runs._forced(loaded, branch, fed, 2, at_once), plain)


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "deepseek_v3"])
def test_all_outputs_of_all_heads_make_the_source_run(family):
    """Where attention alone carries anything from one position to another."""
    loaded, (source, base) = tiny_models.loaded(family), pair()
    every = HeadMask(tuple((n, h) for n in loaded.info.attention_layers for h in range(loaded.info.heads[n])))
    fed = [source.ids[-1], *answer_ids(source)[:-1]]
    prefix = PrefixCache(loaded, reuse=False)
    prefix.prefill(source.ids[:-1])
    with branched(loaded, prefix.cache) as branch:
        wanted = predictions(loaded, [fed], branch)
    torch.testing.assert_close(
        patched_logits(loaded, source, base, [every], "outputs", 4), wanted, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("what", KINDS)
def test_whole_groups_are_patched_under_kv_group(what):
    loaded, (source, base) = tiny_models.loaded("llama"), pair()
    sets = [HeadMask(((1, 0),), unit="kv_group"), HeadMask(((1, 0), (1, 1)))]
    group, both = patched_logits(loaded, source, base, sets, what, 4)
    torch.testing.assert_close(group, both)


def test_what_cannot_be_patched_is_named():
    loaded, (source, base) = tiny_models.loaded("llama"), pair()
    with pytest.raises(PatchError, match=r"patched\.what: 'values' is unknown; use one of outputs, weights"):
        patched_logits(loaded, source, base, [HeadMask(((0, 0),))], "values", 4)
    with pytest.raises(MaskError, match="head 0-9 does not exist"):
        patched_logits(loaded, source, base, [HeadMask(((0, 9),))], "outputs", 4)
