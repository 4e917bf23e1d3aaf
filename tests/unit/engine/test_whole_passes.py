"""However a sequence is fed, the numbers are those of one whole pass, also where frequencies depend on its length.

The lengths of the prompts lie below the original window of 64 tokens, in front of it (the response crosses it) and
above it.
"""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest
import rotary_models
import tiny_models
import torch
from rotary_models import WINDOW, whole_pass

from retrieval_heads import api
from retrieval_heads.detection.attention_trace import RowRecorder, _answer
from retrieval_heads.detection.detector import detect
from retrieval_heads.detection.null_query import NULL_QUERY
from retrieval_heads.detection.scores import step_table
from retrieval_heads.engine import prefill
from retrieval_heads.engine.batched_decoding import Rows
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import PrefixCache, order_prompts
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.single_steps import greedy
from retrieval_heads.models.rotary import BY_LENGTH

IDS = torch.randint(2, 94, (200,), generator=torch.Generator().manual_seed(3)).tolist()
NEW = 5
LENGTHS = (40, 62, 100)
every_kind = pytest.mark.parametrize("name", rotary_models.ALL)


@pytest.fixture(params=LENGTHS)
def prompt(request):
    return tiny_models.prompts(lengths=(request.param,), depths=(50,))[0]


def close(found: torch.Tensor, want: torch.Tensor) -> bool:
    return (found - want).abs().max() < 1e-4


@every_kind
@pytest.mark.parametrize("block", [16, 4096])
def test_a_prompt_in_parts(name, block, monkeypatch):
    """Prefills behind a shorter and a longer prompt that begin alike, in blocks, each continued by its last token."""
    monkeypatch.setattr(prefill, "MASK_BLOCK_TOKENS", block)
    loaded = rotary_models.loaded(name)
    prefix = PrefixCache(loaded)
    for length in (40, 200, 90, WINDOW + 1, WINDOW, 120):
        prefix.prefill(IDS[: length - 1], IDS, length, len(IDS))
        with branched(loaded, prefix.cache, 2) as branch:
            found = forward(loaded, [[IDS[length - 1]]] * 2, branch)
        assert close(found, whole_pass(name, IDS[:length])[0][-1].expand(2, -1))


@every_kind
def test_a_branch_takes_a_block_of_the_prompt(name):
    loaded = rotary_models.loaded(name)
    for length in (WINDOW, WINDOW + 5, 150):
        prefix = PrefixCache(loaded)
        prefix.prefill(IDS[: length - 20], whole=length)
        with branched(loaded, prefix.cache) as branch:
            assert close(forward(loaded, [IDS[length - 20 : length]], branch), whole_pass(name, IDS[:length])[0][-1:])


@pytest.mark.parametrize("name", ["phi3 longrope", "llama longrope", "llama yarn"])
def test_greedy_goes_on_on_one_side_of_the_window(name):
    loaded = rotary_models.loaded(name)
    for length in (40, WINDOW + 1, 100):
        prefix = PrefixCache(loaded)
        prefix.prefill(IDS[: length - 1], whole=length)
        with branched(loaded, prefix.cache) as branch:
            found = greedy(loaded, branch, IDS[length - 1], max_new_tokens=NEW)
        assert found == [rotary_models.answer(name, IDS[:length], NEW)[0]]


@every_kind
@pytest.mark.parametrize("lengths", [(30, WINDOW, 50), (100, 150, 70)])
def test_rows_side_by_side_have_the_frequencies_of_their_prompts(name, lengths):
    """Where those of the prompts differ, they are refused."""
    loaded = rotary_models.loaded(name)
    if not loaded.info.takes_back:
        pytest.skip("this family's cache takes nothing back: its prompts are answered one by one")
    rows = Rows(loaded)
    alike = len({loaded.info.rotary.choice(length) for length in lengths}) == 1
    with nullcontext() if alike else pytest.raises(ValueError, match="different rotary frequencies"):
        for length in lengths:
            prefix = PrefixCache(loaded)
            prefix.prefill(IDS[: length - 3], whole=length)
            rows.add(prefix.kept())
    if alike:
        with rows.attending():
            found = rows.feed([IDS[length - 3 : length] for length in lengths]).split(3)
        for logits, length in zip(found, lengths, strict=True):
            assert close(logits, whole_pass(name, IDS[:length])[0][-3:])


@every_kind
def test_detection_reads_whole_passes(name):
    """All prompts in one run: groups side by side, drafts, shared prefixes, and responses across the window."""
    loaded, prompts = rotary_models.loaded(name), tiny_models.prompts(lengths=LENGTHS, depths=(50, 100))
    found = {one.cell: one for one in detect(loaded, prompts, max_new_tokens=NEW, steps=True)}
    for prompt in prompts:
        one = found[prompt.cell]
        emitted, steps = rotary_models.answer(name, prompt.ids, NEW)
        assert one.response_ids == emitted
        span = slice(prompt.cell.answer_start, prompt.cell.answer_end)
        mass = torch.stack([torch.stack([layer[:, span].sum(-1) for layer in step]) for step in steps])
        argmax = torch.stack([torch.stack([layer.argmax(-1) for layer in step]) for step in steps])
        table = one.steps.sort_values(["step", "layer", "head"])
        assert np.allclose(table["span_mass"], mass.flatten(), atol=1e-4)
        want = step_table(prompt.cell, argmax.numpy(), mass.numpy(), emitted, prompt.ids)
        assert table["target_class"].tolist() == want["target_class"].tolist()
        assert table["hit"].tolist() == want["hit"].tolist()


@every_kind
def test_the_query_focused_score_compares_two_whole_passes(name, prompt):
    loaded = rotary_models.loaded(name)
    [one] = detect(loaded, [prompt], max_new_tokens=NEW, scores=("query_focused",))
    cell, null = prompt.cell, loaded.tokenizer.encode(NULL_QUERY, add_special_tokens=False)

    def mass(ids):
        rows = torch.stack(whole_pass(name, ids)[1])
        return rows[:, :, cell.question_start : len(ids), cell.answer_start : cell.answer_end].sum(-1).mean(-1)

    want = mass(prompt.ids) - mass([*prompt.ids[: cell.question_start], *null])
    assert np.allclose(one.scores.sort_values(["layer", "head"])["query_focused"], want.flatten(), atol=1e-4)


@every_kind
def test_attention_of_a_response(name, prompt):
    """What is traced and what is shown in a notebook: each row from the pass that emits its token."""
    loaded = rotary_models.loaded(name)
    emitted, steps = rotary_models.answer(name, prompt.ids, NEW)
    shown = api.attention_pattern(loaded, prompt, emitted, (1, 2))
    recorder = RowRecorder([(1, 2)])
    assert _answer(loaded, prompt.ids, recorder, NEW) == emitted
    for row, traced, step in zip(shown, recorder.rows[1, 2], steps, strict=True):
        want = step[1][2].numpy()
        assert np.allclose(row[: len(want)], want, atol=1e-4) and not row[len(want) :].any()
        assert np.allclose(traced, want, atol=1e-4)


def test_prompts_of_other_frequencies_stand_apart_in_the_order():
    prompts = tiny_models.prompts(lengths=(40, 60, 80, 100), depths=(0, 50, 100))
    rotary = rotary_models.loaded("phi3 longrope").info.rotary
    long = [len(prompt.ids) > WINDOW for prompt in order_prompts(prompts, rotary)]
    assert long == sorted(long)
    assert [len(prompt.ids) > WINDOW for prompt in order_prompts(prompts)] != long


def test_prompts_of_the_same_frequencies_still_share():
    prompts = [dataclasses.replace(prompt) for prompt in tiny_models.prompts(lengths=(100, 120), depths=(50, 100))]
    work = {
        name: sum(one.prefilled_tokens for one in detect(rotary_models.loaded(name), prompts, max_new_tokens=2))
        for name in ("phi3 longrope", "llama dynamic", "llama yarn")
    }
    assert work["phi3 longrope"] == work["llama yarn"] < work["llama dynamic"]
    assert set(BY_LENGTH) == {"dynamic", "longrope"}
