"""The trace of one decode step against eager attention, and the rules that choose its cell and heads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch

from retrieval_heads.detection.attention_trace import FIELDS, answer, choose_cell, choose_heads, patterns, trace

HEADS = [(0, 1), (2, 3), (1, 0)]


@pytest.fixture(scope="module")
def prompt():
    return tiny_models.prompts(lengths=(48,), depths=(50,))[0]


@pytest.fixture(scope="module", params=["llama", "mistral"])
def traced(request, prompt):
    """Family and its table; Mistral's sliding window hides the first positions from later steps."""
    return request.param, trace(answer(tiny_models.loaded(request.param), prompt, HEADS, max_new_tokens=6), HEADS, 2)


def eager(family: str, prompt, table: pd.DataFrame) -> tuple[np.ndarray, list[int]]:
    """Attention of the traced step [layers, heads, keys] and the emitted ids, by eager attention and plain decoding."""
    model, ids = tiny_models.build(family), list(prompt.ids)
    with torch.no_grad():
        for _ in range(table["step"].iloc[0] + 1):
            output = model(torch.tensor([ids]), output_attentions=True, use_cache=False)
            ids.append(int(output.logits[0, -1].argmax()))
    return np.stack([weights[0, :, -1].numpy() for weights in output.attentions]), ids


def test_fields_hold_the_attention_of_eager_rows(traced, prompt):
    family, table = traced
    rows, ids = eager(family, prompt, table)
    assert [(layer, head) for layer, head in table[["layer", "head"]].drop_duplicates().to_numpy()] == HEADS
    for (layer, head), part in table.groupby(["layer", "head"]):
        row = rows[layer, head]
        assert part["attention"].to_list() == pytest.approx(
            [row[field.start : field.end].sum() for field in part.itertuples()], abs=1e-5
        )
        assert part["attention"].sum() == pytest.approx(1, abs=1e-5)
        assert part["peak"].iloc[0] == row.argmax()
    assert (table["token"] == tiny_models.loaded(family).tokenizer.decode([ids[-1]])).all()


def test_fields_cover_every_position_once_and_the_needle_token_by_token(traced, prompt):
    _, table = traced
    cell = prompt.cell
    for _, part in table.groupby(["layer", "head"]):
        assert part["start"].to_list() == [0, *part["end"].to_list()[:-1]]
        assert part["end"].iloc[-1] == cell.prompt_tokens + part["step"].iloc[0]
        inside = part[part["region"].isin(["needle", "answer"])]
        assert inside["start"].to_list() == list(range(cell.needle_start, cell.needle_end))
        span = part.loc[part["region"] == "answer", "start"].to_list()
        assert span == list(range(cell.answer_start, cell.answer_end))
        assert (inside["text"] != "").all() and (part.loc[~part.index.isin(inside.index), "text"] == "").all()


def test_long_contexts_are_pooled():
    prompt = tiny_models.prompts(lengths=(400,), depths=(50,))[0]
    table = trace(answer(tiny_models.loaded("llama"), prompt, HEADS[:1], max_new_tokens=1), HEADS[:1], 1)
    needle = prompt.cell.needle_end - prompt.cell.needle_start
    assert len(table) <= FIELDS + needle + 4 < prompt.cell.prompt_tokens
    assert table["attention"].sum() == pytest.approx(1, abs=1e-5)


def test_patterns_are_the_rows_of_every_step(prompt):
    answered = answer(tiny_models.loaded("llama"), prompt, HEADS, max_new_tokens=6)
    shown = patterns(answered)
    assert shown["cell"]["length"] == 48 and len(shown["steps"]) == len(answered.emitted)
    assert [head["name"] for head in shown["heads"]] == ["0-1", "2-3", "1-0"]
    assert shown["fields"][0][0] == 0 and shown["fields"][-1][1] == prompt.cell.prompt_tokens
    for head, key in zip(shown["heads"], HEADS, strict=True):
        assert len(head["attention"]) == len(head["copied"]) == len(shown["steps"])
        for step, fields in enumerate(head["attention"]):
            row = answered.rows[key][step]
            expected = [1000 * row[start:end].sum() for start, end, _, _ in shown["fields"]]
            assert fields == pytest.approx(expected, abs=0.51)


def runs(*cells: tuple) -> pd.DataFrame:
    return pd.DataFrame(cells, columns=["kind", "length", "depth", "rouge1_recall"])


def test_the_cell_is_answered_best_and_in_the_middle():
    table = runs(
        ("none", 100, 50, 100),
        ("none", 200, 0, 100),
        ("none", 200, 25, 80),
        ("none", 200, 50, 0),
        ("none", 200, 85, 100),
        ("none", 300, 50, 100),
        ("top", 200, 50, 100),
    )
    assert choose_cell(table)[["length", "depth"]].to_list() == [200, 85]


def test_the_contrast_is_the_last_head_of_the_ranking():
    ranking = pd.DataFrame([(2, 5), (1, 0), (2, 1), (2, 3), (1, 7), (2, 0), (0, 0)], columns=["layer", "head"])
    assert choose_heads(ranking, 3) == [(2, 5), (1, 0), (2, 1), (0, 0)]
    assert choose_heads(ranking.head(2), 2) == [(2, 5), (1, 0)]
