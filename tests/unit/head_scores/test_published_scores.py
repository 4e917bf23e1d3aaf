"""What head scores published by others must give back when they are read as if they had been made here."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from retrieval_heads.analysis.agreement import agreement
from retrieval_heads.analysis.reliability import needle_counts
from retrieval_heads.analysis.stability import rank_stability
from retrieval_heads.head_scores.formats.registry import read
from retrieval_heads.head_scores.intervals import UNKNOWN, count_needles
from retrieval_heads.head_scores.ranking import rank_heads
from retrieval_heads.head_scores.scores import HeadScores

PUBLISHED = Path(os.environ.get("PUBLISHED_HEAD_SCORES", Path(__file__).parents[4] / "shared" / "published"))
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
    # The first is .53 where it is cited; the file gives .5249.
    "wu-2025/Qwen1.5-14B-Chat": ((40, 40), (71.1, 24.6, 4.2, 0.1), {(14, 12): 0.525, (20, 7): 0.42}),
}
# Every other file of the two folders; its heads.
OTHERS = {
    "wu-2025/Yi-6B-200K": (32, 32),
    "wu-2025/llama-2-13b-64k": (40, 40),
    "decore/Llama-2-7b-hf": (32, 32),
    "decore/Meta-Llama-3-70B": (80, 64),
    "decore/Meta-Llama-3-70B-Instruct": (80, 64),
    "decore/Meta-Llama-3-8B": (32, 32),
    "decore/Meta-Llama-3-8B-Instruct": (32, 32),
    "decore/Mistral-7B-Instruct-v0.3": (32, 32),
    "decore/Mistral-7B-v0.3": (32, 32),
    "decore/Qwen2-7B-Instruct": (28, 28),
}
SHAPES = {**{name: facts[0] for name, facts in FACTS.items()}, **OTHERS}
CORRELATIONS = {
    ("wu-2025/Mistral-7B-v0.2-hf", "wu-2025/Mixtral-8x7B-v0.1"): 0.964,
    ("wu-2025/Qwen1.5-14B", "wu-2025/Qwen1.5-14B-Chat"): 0.893,
    ("decore/Llama-2-7b-hf", "wu-2025/llama-2-7b-80k"): 0.975,
}
EMPTY_CELLS = {"wu-2025/Yi-6B-200K": 20, "wu-2025/Qwen1.5-14B": 8, "wu-2025/Qwen1.5-14B-Chat": 8}
# Cells -> percent of the final top 20 that as many cells recover.
RECOVERED = {1: 78, 5: 92, 10: 94, 50: 97}


def published(name: str) -> HeadScores:
    file = PUBLISHED / f"{name}.json"
    if not file.exists():
        pytest.skip(f"{name}: set PUBLISHED_HEAD_SCORES to a folder of head scores published by others")
    return read(file, "released")


def test_every_file_of_the_folder_is_in_these_tests():
    if not PUBLISHED.is_dir():
        pytest.skip("set PUBLISHED_HEAD_SCORES to a folder of head scores published by others")
    assert {f"{file.parent.name}/{file.stem}" for file in PUBLISHED.glob("*/*.json")} == set(SHAPES)


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_every_head_is_there_and_its_cells_are_told_apart_by_needle(name, shape):
    head_scores = published(name)
    assert head_scores.means.shape == shape
    # One model passed no cell of the third needle.
    needles = 2 if name == "decore/Meta-Llama-3-70B-Instruct" else 3
    assert count_needles(head_scores.needles) == needles
    assert head_scores.resampled == "needles, then cells"


@pytest.mark.parametrize("name", FACTS)
def test_shares_and_top_heads(name):
    shape, shares, top = FACTS[name]
    means = published(name).means
    binned = (means == 0, (means > 0) & (means <= 0.1), (means > 0.1) & (means <= 0.5), means > 0.5)
    assert [100 * part.mean() for part in binned] == pytest.approx(shares, abs=0.0501)
    order = np.argsort(-means, axis=None)[: len(top)]
    found = {tuple(map(int, np.unravel_index(place, shape))): float(means.flat[place]) for place in order}
    assert found == pytest.approx(top, abs=0.0051)


@pytest.mark.parametrize(("names", "expected"), CORRELATIONS.items())
def test_models_of_one_family_agree(names, expected):
    first, second = (published(name).flat.mean(0) for name in names)
    found = agreement(first, second, k=20, threshold=0.1)
    assert found["pearson"] == pytest.approx(expected, abs=0.0005)
    assert found["overlap"] >= 0.75 > 30 * found["overlap_chance"]


def test_models_of_different_families_do_not():
    names = ["wu-2025/llama-2-7b-80k", "wu-2025/Mistral-7B-v0.2-hf", "wu-2025/Yi-6B-200K"]
    for first, second in combinations([published(name).flat.mean(0) for name in names], 2):
        assert abs(agreement(first, second, k=20, threshold=0.1)["pearson"]) < 0.03


@pytest.mark.parametrize("name", [name for name in SHAPES if name.startswith("wu-2025/")])
def test_cells_whose_needle_was_not_found_are_counted(name):
    assert published(name).empty_cells == EMPTY_CELLS.get(name, 0)


# Heads that copy in every cell that is not empty, and retrieval heads.
ALWAYS = {
    "wu-2025/Qwen1.5-14B": (32, 61),
    "wu-2025/Qwen1.5-14B-Chat": (28, 68),
    "decore/Meta-Llama-3-8B-Instruct": (33, 47),
}


@pytest.mark.parametrize(("name", "expected"), ALWAYS.items())
def test_cells_whose_needle_was_not_found_hide_no_head_that_always_copies(name, expected):
    ranked = rank_heads(published(name), draws=50)
    retrieval = ranked[ranked["score"] > 0.1]
    assert (int((retrieval["activation_frequency"] == 1).sum()), len(retrieval)) == expected


def test_cells_between_two_needles_are_not_given_to_either():
    assert (published("decore/Qwen2-7B-Instruct").needles == UNKNOWN).sum() == 10


def test_twelve_heads_of_llama_copy_in_every_cell():
    assert int((published("wu-2025/llama-2-7b-80k").scores > 0).all(axis=0).sum()) == 12


def test_needles_of_llama_disagree_on_the_number_of_heads():
    head_scores = published("wu-2025/llama-2-7b-80k")
    counts = needle_counts(head_scores.flat, head_scores.needles, 0.1).set_index("needle")["retrieval_heads"]
    assert sorted(counts.drop(["all", "any"])) == [27, 36, 46]
    assert counts["all"] == 17


def test_ten_cells_recover_most_of_the_top_heads():
    head_scores = published("wu-2025/llama-2-7b-80k")
    table = rank_stability(head_scores.flat, 20).set_index("cells")
    assert (100 * table.loc[list(RECOVERED), "overlap"]).to_list() == pytest.approx(list(RECOVERED.values()), abs=5)
