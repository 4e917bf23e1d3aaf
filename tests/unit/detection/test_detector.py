"""Detection on tiny models: every score against eager attention, worked out again by plain loops."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tiny_models
import torch

from retrieval_heads.detection.detector import detect
from retrieval_heads.detection.null_query import NULL_QUERY
from retrieval_heads.detection.scores import SCORES

STEPS = 6


@pytest.fixture(scope="module")
def prompt():
    return tiny_models.prompts(lengths=(48,), depths=(50,))[0]


def eager(family: str, ids):
    """Attention rows by layer [heads, queries, keys], and the model."""
    model = tiny_models.build(family)
    with torch.no_grad():
        output = model(torch.tensor([ids]), output_attentions=True, use_cache=True)
    return [weights[0] for weights in output.attentions], model, output.past_key_values


@pytest.fixture(scope="module")
def result(prompt):
    return next(detect(tiny_models.loaded("llama"), [prompt], max_new_tokens=STEPS, scores=SCORES, steps=True))


def column(result, name: str, layer: int, head: int) -> float:
    table = result.scores
    return table[(table["layer"] == layer) & (table["head"] == head)][name].item()


@pytest.fixture(scope="module")
def replay(prompt, result):
    """Eager rows of the prompt with its answer; the step that emitted token i is row len(prompt) - 1 + i."""
    return eager("llama", [*prompt.ids, *result.response_ids[:-1]])


def test_copy_scores_by_plain_loops(prompt, result, replay):
    rows, _, _ = replay
    start, end = prompt.cell.answer_start, prompt.cell.answer_end
    answer = prompt.ids[start:end]
    for layer in range(3):
        for head in range(4):
            copied = []
            for step, token in enumerate(result.response_ids):
                j = int(rows[layer][head, len(prompt.ids) - 1 + step].argmax())
                if start <= j < end and prompt.ids[j] == token:
                    copied.append(j)
            tokens = {prompt.ids[j] for j in copied}
            assert column(result, "copy_count", layer, head) == pytest.approx(len(copied) / len(answer))
            assert column(result, "copy_set", layer, head) == pytest.approx(len(tokens) / len(set(answer)))
            assert column(result, "copy_position", layer, head) == pytest.approx(len(set(copied)) / len(answer))


def test_attention_sum_is_the_last_prompt_tokens_mass(prompt, result, replay):
    rows, _, _ = replay
    for layer in range(3):
        for head in range(4):
            row = rows[layer][head, len(prompt.ids) - 1]
            mass = row[prompt.cell.answer_start : prompt.cell.answer_end].sum().item()
            assert column(result, "attention_sum", layer, head) == pytest.approx(mass, abs=1e-5)


def test_logit_contribution_by_plain_loops(prompt, result, replay):
    rows, model, cache = replay
    start, end = prompt.cell.answer_start, prompt.cell.answer_end
    for layer, head in ((0, 1), (2, 3)):
        value = cache.layers[layer].values[0, head // 2]
        w_o = model.model.layers[layer].self_attn.o_proj.weight[:, head * 8 : (head + 1) * 8]
        contrasts = []
        for step, token in enumerate(result.response_ids):
            query = len(prompt.ids) - 1 + step
            written = (value[: query + 1] @ w_o.T) @ model.lm_head.weight[token] * rows[layer][head, query, : query + 1]
            contrasts.append((2 * written[start:end].sum() - written.sum()).item())
        assert column(result, "logit_contribution", layer, head) == pytest.approx(np.mean(contrasts), abs=1e-3)


def test_query_focused_by_plain_loops(prompt, result):
    rows, _, _ = eager("llama", prompt.ids)
    context = prompt.ids[: prompt.cell.question_start]
    null = tiny_models.tokenizer().encode(NULL_QUERY, add_special_tokens=False)
    null_rows, _, _ = eager("llama", [*context, *null])
    start, end = prompt.cell.answer_start, prompt.cell.answer_end
    for layer in range(3):
        for head in range(4):
            asked = rows[layer][head, len(context) :, start:end].sum(-1).mean()
            nothing = null_rows[layer][head, len(context) :, start:end].sum(-1).mean()
            assert column(result, "query_focused", layer, head) == pytest.approx((asked - nothing).item(), abs=1e-5)


def test_step_table_has_one_row_per_step_and_head(result, replay, prompt):
    assert len(result.steps) == len(result.response_ids) * 3 * 4
    row = result.steps[(result.steps["step"] == 1) & (result.steps["layer"] == 2) & (result.steps["head"] == 0)]
    rows, _, _ = replay
    mass = rows[2][0, len(prompt.ids), prompt.cell.answer_start : prompt.cell.answer_end].sum().item()
    assert row["span_mass"].item() == pytest.approx(mass, abs=1e-5)


def test_layers_without_softmax_attention_get_no_rows(prompt):
    [result] = detect(tiny_models.loaded("qwen3_next"), [prompt], max_new_tokens=3, scores=SCORES, steps=True)
    assert sorted(result.scores["layer"].unique()) == [1, 3]
    assert sorted(result.steps["layer"].unique()) == [1, 3]
    assert not result.scores.isna().any(axis=None)


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt_oss", "qwen3_next", "jamba"])
def test_choosing_scores_does_not_change_them(prompt, family):
    loaded = tiny_models.loaded(family)
    [every] = detect(loaded, [prompt], max_new_tokens=4, scores=SCORES)
    [default] = detect(loaded, [prompt], max_new_tokens=4)
    assert list(default.scores.columns) == [
        "layer",
        "head",
        "copy_set",
        "copy_count",
        "copy_position",
        "attention_sum",
    ]
    assert default.response_ids == every.response_ids and default.steps is None
    assert np.allclose(default.scores, every.scores[default.scores.columns], atol=1e-4)


def test_results_come_one_by_one():
    """A job that is killed keeps what it has yielded."""
    stream = detect(tiny_models.loaded("llama"), tiny_models.prompts(), max_new_tokens=2)
    first = next(stream)
    assert first.seconds > 0 and first.prefilled_tokens == first.cell.prompt_tokens
    assert len(list(stream)) == len(tiny_models.prompts()) - 1


def test_seconds_are_those_of_the_cells_and_not_of_who_takes_the_results():
    loaded, prompts = tiny_models.loaded("llama"), tiny_models.prompts()
    started, waited, counted = time.perf_counter(), 0.0, 0.0
    for result in detect(loaded, prompts, max_new_tokens=2):
        counted += result.seconds
        time.sleep(0.2)
        waited += 0.2
    assert len(prompts) > 2 and 0 < counted <= time.perf_counter() - started - waited


def test_unknown_score_is_refused():
    with pytest.raises(ValueError, match=r"unknown scores \['copy'\]; choose from copy_set"):
        next(detect(tiny_models.loaded("llama"), tiny_models.prompts(), max_new_tokens=1, scores=("copy",)))
