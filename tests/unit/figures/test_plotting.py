"""How figures order, pack and mark what they show."""

from __future__ import annotations

import math

import pytest

from retrieval_heads.figures.plotting import by_family, ink, pack_families, short, ticks, wrap

FAMILIES = {"l-7b": "Llama", "m-7b": "Mistral", "l-13b": "Llama", "q": "Qwen", "m-8x7b": "Mistral", "l-70b": "Llama"}


def test_models_of_one_family_stand_together():
    assert by_family([*FAMILIES, "q"], FAMILIES) == ["l-13b", "l-70b", "l-7b", "m-7b", "m-8x7b", "q"]


def test_families_stay_whole_where_a_row_holds_them():
    rows = pack_families(FAMILIES, 4)
    assert rows == [["l-13b", "l-70b", "l-7b", "q"], ["m-7b", "m-8x7b"]]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_model_is_shown_once_and_no_row_is_too_wide(width):
    rows = pack_families(FAMILIES, width)
    assert sorted(model for row in rows for model in row) == sorted(FAMILIES)
    assert max(map(len, rows)) <= width


@pytest.mark.parametrize(("value", "colour"), [(0.0, "white"), (1.0, "black"), (math.nan, "black")])
def test_numbers_are_readable_on_their_field(value, colour):
    assert ink(value) == colour


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (0.999, "1"),
        (0.5, ".50"),
        (-0.001, ".00"),
        (0.0, ".00"),
        (-0.55, "−.55"),
        (-1.0, "−1"),
        (math.nan, "–"),
    ],
)
def test_numbers_are_short(value, text):
    assert short(value) == text


@pytest.mark.parametrize(
    ("count", "most", "places"),
    [
        (4, 8, [0, 1, 2, 3]),
        (1, 8, [0]),
        (30, 8, [0, 5, 10, 15, 20, 25, 29]),
        (40, 8, [0, 8, 16, 24, 32, 39]),
        (80, 8, [0, 16, 32, 48, 64, 79]),
        (9, 6, [0, 2, 4, 6, 8]),
    ],
)
def test_an_axis_is_labelled_from_its_first_to_its_last(count, most, places):
    assert ticks(count, most) == places


def test_a_text_of_many_origins_is_broken_at_spaces():
    parts = [("fly a paper ", "needle"), ("house and milk", "neither"), (".", "needle")]
    assert wrap(parts, 12) == [
        [("fly a paper ", "needle")],
        [("house and ", "neither")],
        [("milk", "neither"), (".", "needle")],
    ]
    assert "".join(text for line in wrap(parts, 5) for text, _ in line) == "fly a paper house and milk."
    assert wrap([("unbreakable", "neither")], 4) == [[("unbr", "neither")], [("eaka", "neither")], [("ble", "neither")]]
    assert wrap([], 4) == [[]]
