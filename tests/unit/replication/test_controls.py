"""Quirks of the released code in the drawing of random controls."""

from __future__ import annotations

import pandas as pd
import pytest
import tiny_models

from retrieval_heads.masking import niah
from retrieval_heads.masking.head_sets import choose_head_sets
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.replication import engine
from retrieval_heads.replication.controls import released_controls

NEW = 6


def ranking(layers: int, heads: int, above: int) -> pd.DataFrame:
    """The first `above` heads, layer by layer, score .9; all others 0."""
    rows = [(layer, head) for layer in range(layers) for head in range(heads)]
    table = pd.DataFrame(rows, columns=["layer", "head"])
    return table.assign(rank=range(1, len(rows) + 1), score=[0.9] * above + [0.0] * (len(rows) - above))


def controls(table: pd.DataFrame, *names: str, draws: int = 40) -> list[dict]:
    settings = {"sizes": [2], "random_draws": draws, "seed": 0, "layer_matched": False, "bottom": False}
    sets = released_controls(choose_head_sets(table, threshold=0.1, **settings), table, names, threshold=0.1, seed=0)
    assert sets[0]["name"] == "top-2" and sets[0]["heads"] == [[0, 0], [0, 1]]
    return sets[1:]


def drawn(sets: list[dict]) -> set[tuple[int, int]]:
    return {tuple(head) for one in sets for head in one["heads"]}


def test_random_of_32_draws_heads_that_the_model_lacks():
    """4 x 4 heads, 3 of them retrieval heads: of 1,021 heads to draw from 13 are there."""
    sets = controls(ranking(4, 4, 3), "random_of_32", draws=400)
    held = sum(len(one["heads"]) for one in sets) / len(sets)
    assert all(one["k"] == 2 for one in sets)
    assert held == pytest.approx(2 * 13 / 1021, abs=0.03)
    assert not drawn(sets) & {(0, 0), (0, 1), (0, 2)}


def test_random_of_32_never_draws_a_head_beyond():
    wide = ranking(2, 40, 3)
    assert max(head for _, head in drawn(controls(wide, "random_of_32", draws=2000))) < 32
    assert max(head for _, head in drawn(controls(wide, "random_redrawn", draws=200))) > 32


def test_random_not_excluded():
    table = ranking(4, 4, 3)
    assert {(0, 0), (0, 1), (0, 2)} <= drawn(controls(table, "random_not_excluded"))
    assert not {(0, 0), (0, 1), (0, 2)} & drawn(controls(table, "random_redrawn"))


def test_random_redrawn_masks_other_heads_in_every_cell():
    loaded, prompts = tiny_models.loaded("llama"), tiny_models.prompts(depths=(0, 50, 100))
    sets = controls(ranking(3, 4, 2), "random_redrawn", draws=1)
    [control] = sets
    assert len(control["pool"]) == 3 * 4 - 2
    name, mask = control["name"], HeadMask(tuple(map(tuple, control["heads"])))
    options = {"max_new_tokens": NEW, "decode_batch": 2}
    found = engine.run(loaded, prompts, {name: mask}, names=["random_redrawn"], head_sets=sets, **options)
    masks = set()
    for result, prompt in zip(found, prompts, strict=True):
        chosen = engine.redrawn(mask, control, prompt.cell, loaded)
        assert len(chosen.heads) == 2 and {list(head) in control["pool"] for head in chosen.heads} == {True}
        [alone] = niah.run(loaded, [prompt], {name: chosen}, **options)
        assert result.responses == alone.responses
        masks.add(chosen.heads)
    assert len(masks) > 1
