"""The released format, the ranking with its intervals, and what published files must give back when read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from retrieval_heads.head_scores import (
    HeadScoreError,
    HeadScores,
    bootstrap_weights,
    from_table,
    ranking,
    read_released,
    write_released,
)

PUBLISHED = Path(os.environ.get("PUBLISHED_HEAD_SCORES", Path(__file__).parents[3] / "shared" / "published"))


def table(cells: dict[tuple, dict]) -> pd.DataFrame:
    """(needle, length, depth) -> (layer, head) -> score, as one row for each head and cell."""
    return pd.DataFrame(
        {"needle": n, "length": length, "depth": d, "layer": layer, "head": head, "copy_count": score}
        for (n, length, d), heads in cells.items()
        for (layer, head), score in heads.items()
    )


TWO_NEEDLES = table(
    {
        ("a", 100, 0): {(0, 0): 0.0, (0, 1): 0.5, (1, 0): 1.0, (1, 1): 0.0},
        ("a", 100, 50): {(0, 0): 0.0, (0, 1): 0.0, (1, 0): 1.0, (1, 1): 0.0},
        ("b", 100, 0): {(0, 0): 0.0, (0, 1): 0.25, (1, 0): 1.5, (1, 1): 0.0},
    }
)


def test_the_file_is_one_line_of_all_heads_layer_by_layer(tmp_path):
    file = tmp_path / "model.json"
    write_released(file, from_table(TWO_NEEDLES, "copy_count", (2, 2)))
    assert file.read_text(encoding="utf-8").count("\n") == 1
    columns = json.loads(file.read_text(encoding="utf-8"))
    assert list(columns) == ["0-0", "0-1", "1-0", "1-1"]
    assert columns == {"0-0": [0, 0, 0], "0-1": [0.5, 0, 0.25], "1-0": [1, 1, 1.5], "1-1": [0, 0, 0]}


def test_layers_without_attention_are_present_as_zeros():
    scores = from_table(TWO_NEEDLES, "copy_count", (3, 2)).scores
    assert scores.shape == (3, 3, 2)
    assert (scores[:, 2] == 0).all()


@given(arrays(float, (3, 2, 12), elements=st.integers(0, 2_000_000).map(lambda n: n / 1e6)))
def test_what_is_written_is_read(tmp_path_factory, scores):
    file = tmp_path_factory.getbasetemp() / "any.json"
    write_released(file, HeadScores(scores))
    assert np.array_equal(read_released(file).scores, scores)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"0-0": [1]}\n{"0-0": [1]}\n', "2 lines"),
        ("", "0 lines"),
        ('{"0-0": [1]', "not JSON"),
        ('{"0-0": [1], "model": "x"}', "the key 'model' is not 'layer-head'"),
        ('{"0-0": [1], "1-1": [1]}', "2 heads of 2 x 2"),
        ('{"0-0": [1], "0-1": [1, 2]}', r"lists of \[1, 2\] scores"),
        ('{"0-0": []}', r"lists of \[0\] scores"),
        ('{"0-0": [NaN]}', "not a finite number"),
    ],
)
def test_a_broken_file_is_refused_with_its_reason(tmp_path, text, message):
    file = tmp_path / "model.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(HeadScoreError, match=message):
        read_released(file)


def test_ranking_by_hand():
    ranked = ranking(TWO_NEEDLES, "copy_count", group_size=2)
    assert list(zip(ranked["layer"], ranked["head"], strict=True)) == [(1, 0), (0, 1), (0, 0), (1, 1)]
    assert ranked["rank"].to_list() == [1, 2, 3, 4]
    assert ranked["kv_group"].to_list() == [0, 0, 0, 0]
    assert ranked["score"].to_list() == pytest.approx([3.5 / 3, 0.25, 0, 0])
    assert ranked["activation_frequency"].to_list() == pytest.approx([1, 2 / 3, 0, 0])
    assert (ranked["cells"] == 3).all() and (ranked["needles"] == 2).all()
    assert (ranked["ci_low"] <= ranked["score"]).all() and (ranked["score"] <= ranked["ci_high"]).all()
    # Every resample of head 1-0 is made of the means 1 (needle a) and 1.5 (needle b).
    assert ranked.loc[0, ["ci_low", "ci_high"]].to_list() == [1, 1.5]


def test_query_heads_that_share_keys_share_a_group():
    ranked = ranking(TWO_NEEDLES, "copy_count", group_size=1)
    assert (ranked["kv_group"] == ranked["head"]).all()


def test_the_bootstrap_resamples_needles_before_cells():
    needles = pd.Series(["a"] * 90 + ["b"] * 10)
    weights = bootstrap_weights(needles, draws=400, seed=0)
    assert np.allclose(weights.sum(1), 1)
    of_b = weights[:, 90:].sum(1)
    # Of two needles, a quarter of the draws takes one needle twice, and a quarter the other.
    assert (of_b == 0).mean() == pytest.approx(0.25, abs=0.07)
    assert (of_b == 1).mean() == pytest.approx(0.25, abs=0.07)


def test_the_interval_is_reproducible():
    first, second = (ranking(TWO_NEEDLES, "copy_count", 1, draws=50, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


# File -> heads, then percent of heads at 0, up to 0.1, up to 0.5 and above, then the top heads.
FACTS = {
    "wu-2025/llama-2-7b-80k": (
        (32, 32),
        (70.2, 26.6, 2.6, 0.6),
        {(16, 19): 0.94, (11, 15): 0.92, (8, 26): 0.80, (6, 9): 0.62, (7, 12): 0.61, (17, 22): 0.56},
    ),
    "wu-2025/Mistral-7B-v0.2-hf": (
        (32, 32),
        (65.0, 30.8, 3.7, 0.5),
        {(18, 0): 0.94, (12, 7): 0.93, (12, 6): 0.77, (18, 2): 0.74},
    ),
    "wu-2025/Mixtral-8x7B-v0.1": (
        (32, 32),
        (57.6, 36.2, 5.5, 0.7),
        {(12, 7): 0.95, (18, 0): 0.93, (18, 2): 0.92},
    ),
    "wu-2025/Qwen1.5-14B": (
        (40, 40),
        (53.4, 42.8, 3.2, 0.6),
        {(12, 2): 1.00, (14, 12): 1.00, (23, 16): 0.92},
    ),
    "wu-2025/Qwen1.5-14B-Chat": ((40, 40), (71.1, 24.6, 4.2, 0.1), {(14, 12): 0.52, (20, 7): 0.42}),
}
CORRELATIONS = {
    ("wu-2025/Mistral-7B-v0.2-hf", "wu-2025/Mixtral-8x7B-v0.1"): 0.964,
    ("wu-2025/Qwen1.5-14B", "wu-2025/Qwen1.5-14B-Chat"): 0.893,
    ("decore/Llama-2-7b-hf", "wu-2025/llama-2-7b-80k"): 0.975,
}
EMPTY_CELLS = {"wu-2025/Yi-6B-200K": 20, "wu-2025/Qwen1.5-14B": 8, "wu-2025/llama-2-7b-80k": 0}


def published(name: str) -> HeadScores:
    file = PUBLISHED / f"{name}.json"
    if not file.exists():
        pytest.skip(f"{name}: set PUBLISHED_HEAD_SCORES to a folder of head scores published by others")
    return read_released(file)


@pytest.mark.parametrize("name", FACTS)
def test_published_files_give_back_what_is_known_of_them(name):
    shape, shares, top = FACTS[name]
    means = published(name).means
    assert means.shape == shape
    binned = (means == 0, (means > 0) & (means <= 0.1), (means > 0.1) & (means <= 0.5), means > 0.5)
    assert [100 * part.mean() for part in binned] == pytest.approx(shares, abs=0.0501)
    order = np.argsort(-means, axis=None)[: len(top)]
    found = {tuple(map(int, np.unravel_index(place, shape))): float(means.flat[place]) for place in order}
    assert found == pytest.approx(top, abs=0.0051)


@pytest.mark.parametrize(("names", "expected"), CORRELATIONS.items())
def test_models_of_one_family_agree(names, expected):
    first, second = (published(name).means.ravel() for name in names)
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(expected, abs=0.0005)


@pytest.mark.parametrize(("name", "cells"), EMPTY_CELLS.items())
def test_cells_whose_needle_was_not_found_are_counted(name, cells):
    assert published(name).empty_cells == cells


def test_twelve_heads_of_llama_copy_in_every_cell():
    assert int((published("wu-2025/llama-2-7b-80k").scores > 0).all(axis=0).sum()) == 12
