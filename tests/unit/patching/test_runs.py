"""Patched runs of cells: one prefill of each prompt for all head sets, batches as single sets, both directions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny_models

from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models import loading as models
from retrieval_heads.patching import runs
from retrieval_heads.patching.patch import PatchError
from retrieval_heads.patching.runs import CEILING, FLOOR, SOURCE, run

BOTH = ("outputs", "weights")


def pairs(**where):
    found = []
    for original in tiny_models.prompts(**where):
        ids, cell = list(original.ids), original.cell
        ids[cell.answer_start : cell.answer_end] = [7, 31, 55, 80]
        found.append((original, replace(original, ids=tuple(ids))))
    return found


def head_sets(loaded) -> dict[str, HeadMask]:
    layers = loaded.info.attention_layers
    return {f"set-{n}": HeadMask(((layers[0], n), (layers[-1], 3 - n))) for n in range(4)}


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gpt_oss", "qwen3_next", "deepseek_v3", "jamba"])
def test_sets_side_by_side_equal_single_ones(family):
    """Cells too: the cache of one prompt is that of a prompt alone, whatever came before."""
    loaded, cells = tiny_models.loaded(family), pairs(lengths=(48,))
    together = {found.cell: found.measured for found in run(loaded, cells, head_sets(loaded), what=BOTH, batch=4)}
    for pair in cells:
        for name, head_set in head_sets(loaded).items():
            [alone] = run(loaded, [pair], {name: head_set}, what=BOTH, batch=1)
            for direction, kinds in alone.measured.items():
                for what, rows in kinds.items():
                    found = together[pair[0].cell][direction][what]
                    assert set(rows) == {SOURCE, FLOOR, CEILING, name}
                    for one, row in rows.items():
                        assert row == pytest.approx(found[one], rel=1e-4, abs=1e-4)


def test_answers_are_those_of_token_by_token(monkeypatch):
    """Where the attention weights would be too many, the forced tokens go one by one."""
    loaded, cells = tiny_models.loaded("llama"), pairs(lengths=(48,), depths=(50,))
    [at_once] = run(loaded, cells, head_sets(loaded), what=BOTH)
    monkeypatch.setattr(runs, "WEIGHTS_LIMIT", 0)
    [one_by_one] = run(loaded, cells, head_sets(loaded), what=BOTH)
    for direction, kinds in at_once.measured.items():
        for what, rows in kinds.items():
            for name, row in rows.items():
                assert row == pytest.approx(one_by_one.measured[direction][what][name], rel=1e-4, abs=1e-4)


def test_noising_is_denoising_with_the_prompts_exchanged():
    loaded, [pair] = tiny_models.loaded("llama"), pairs(lengths=(48,), depths=(50,))
    [there] = run(loaded, [pair], head_sets(loaded))
    [back] = run(loaded, [pair[::-1]], head_sets(loaded))
    for name, row in there.measured["noising"]["outputs"].items():
        assert row == pytest.approx(back.measured["denoising"]["outputs"][name], rel=1e-5)
        assert row != pytest.approx(there.measured["denoising"]["outputs"][name], rel=1e-3)


def test_one_prefill_of_each_prompt_serves_every_head_set():
    loaded, cells = tiny_models.loaded("llama"), pairs()
    few, many = (
        sum(found.prefilled_tokens for found in run(loaded, cells, sets, what=BOTH, batch=3))
        for sets in ({}, {str(n): HeadMask(((0, n % 4), (1, n // 4))) for n in range(16)})
    )
    assert few == many
    # The counterpart shares everything in front of its answer.
    both = sum(len(original.ids) + len(original.ids) - original.cell.answer_start for original, _ in cells)
    assert many < both


def test_the_ceiling_is_the_source_run():
    loaded, cells = tiny_models.loaded("llama"), pairs(lengths=(48,))
    for found in run(loaded, cells, {}):
        for kinds in found.measured.values():
            assert kinds["outputs"][CEILING] == pytest.approx(kinds["outputs"][SOURCE], rel=1e-5, abs=1e-5)


def test_frequencies_that_change_within_the_answer_are_refused():
    """Dynamic scaling beyond 49 tokens: the answer of a prompt of 48 goes on to 51."""
    scaled = {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}
    model = tiny_models.build("llama", attention="sdpa", max_position_embeddings=49, **scaled)
    loaded = models.wrap(model, tiny_models.tokenizer())
    with pytest.raises(PatchError, match=r"rotary frequencies of this model .* change between 48 and 51 tokens"):
        list(run(loaded, pairs(lengths=(48,), depths=(50,)), {}))
