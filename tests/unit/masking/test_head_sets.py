"""Head sets: the top heads in order, and controls that hold no retrieval head."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_heads.masking.head_sets import HeadSetError, choose_head_sets, resolve_size

SETTINGS = {"random_draws": 3, "seed": 0, "layer_matched": False, "bottom": False, "threshold": 0.1}
LAYERS, HEADS = 4, 8


def ranked(retrieval: int, seed: int = 0) -> pd.DataFrame:
    """A ranking of 4 x 8 heads, of which `retrieval` are above the threshold."""
    places = np.random.default_rng(seed).permutation(LAYERS * HEADS)
    scores = [1 - 0.1 * n / LAYERS for n in range(retrieval)] + [0.1] * (LAYERS * HEADS - retrieval)
    return pd.DataFrame({"rank": range(1, 33), "layer": places // HEADS, "head": places % HEADS, "score": scores})


def heads(table: pd.DataFrame) -> list[list[int]]:
    return table[["layer", "head"]].to_numpy().tolist()


@pytest.mark.parametrize(("size", "count"), [(1, 1), (32, 32), ("5%", 2), ("100%", 32), ("0.1%", 1), ("12.5%", 4)])
def test_a_size_is_a_count_or_a_share(size, count):
    assert resolve_size(size, 32) == count


def test_equal_shares_are_equally_many_heads():
    assert resolve_size("0.7%", 500) == resolve_size("7%", 50) == 4
    assert [resolve_size("0.5%", heads) for heads in (100, 300, 500)] == [1, 2, 2]


@pytest.mark.parametrize("size", [33, "110%"])
def test_more_heads_than_the_model_has_are_refused(size):
    with pytest.raises(HeadSetError, match=f"head_sets.sizes: {size} is more than the 20 heads"):
        resolve_size(size, 20)


def test_top_and_bottom_come_from_the_ranking():
    table = ranked(5)
    sets = {entry["name"]: entry for entry in choose_head_sets(table, [2, 4], **{**SETTINGS, "bottom": True})}
    assert sets["top-2"] == {
        "name": "top-2",
        "kind": "top",
        "k": 2,
        "seed": None,
        "heads": sorted(heads(table)[:2]),
    }
    assert sets["bottom-4"]["heads"] == sorted(heads(table)[-4:])


def test_sizes_that_mean_the_same_are_drawn_once():
    names = [entry["name"] for entry in choose_head_sets(ranked(5), [2, "6.25%"], **SETTINGS)]
    assert names == ["top-2", "random-2-0", "random-2-1", "random-2-2"]


@given(st.integers(0, 8), st.integers(1, 16), st.integers(0, 10_000))
def test_controls_hold_neither_retrieval_heads_nor_the_top(retrieval, size, seed):
    table = ranked(retrieval, seed)
    excluded = {tuple(head) for head in heads(table)[: max(retrieval, size)]}
    for entry in choose_head_sets(table, [size], **{**SETTINGS, "seed": seed}):
        chosen = [tuple(head) for head in entry["heads"]]
        assert len(set(chosen)) == len(chosen) == size
        assert entry["kind"] == "top" or not excluded & set(chosen)


def test_a_seed_draws_the_same_controls_and_draws_differ():
    first, again, other = (choose_head_sets(ranked(5), [4], **{**SETTINGS, "seed": seed}) for seed in (0, 0, 1))
    assert first == again != other
    assert len({str(entry["heads"]) for entry in first}) == 4


def test_the_controls_of_one_size_do_not_depend_on_the_other_sizes():
    alone, among = choose_head_sets(ranked(5), [4], **SETTINGS), choose_head_sets(ranked(5), [2, 4], **SETTINGS)
    assert alone == among[4:]


def test_layer_matched_controls_have_the_layers_of_the_top():
    sets = choose_head_sets(ranked(6), [6], **{**SETTINGS, "layer_matched": True})
    layers = [Counter(layer for layer, _ in entry["heads"]) for entry in sets]
    assert layers == [layers[0]] * 4


def test_too_few_heads_for_a_control_are_refused():
    with pytest.raises(HeadSetError, match="a random control of 20 heads needs more than the 12 heads of the model"):
        choose_head_sets(ranked(5), [20], **SETTINGS)


def test_too_few_heads_in_a_layer_are_refused():
    table = ranked(0).sort_values(["layer", "head"], ignore_index=True)
    with pytest.raises(HeadSetError, match="5 heads needs more than the 3 heads of layer 0"):
        choose_head_sets(table, [5], **{**SETTINGS, "layer_matched": True})
