"""Characters that the figures' own font lacks: drawn with an installed font, or said to be missing."""

from __future__ import annotations

import warnings

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from retrieval_heads.figures.fonts import characters_of, choose_fonts, scripts_of
from retrieval_heads.figures.plotting import save

DEJAVU = font_manager.findfont("DejaVu Sans")
# Characters of the scripts whose needles run through a study, which DejaVu Sans lacks.
LACKING = "红风のラपतไท"


@pytest.fixture
def only_dejavu(monkeypatch):
    """A machine without other fonts than matplotlib's own."""
    folder = matplotlib.get_data_path()
    own = [font for font in font_manager.fontManager.ttflist if font.fname.startswith(folder)]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)


@pytest.fixture
def east_asian(only_dejavu, tmp_path):
    """A font with `LACKING`, every glyph a square, installed for one test."""
    pen = TTGlyphPen(None)
    for point in ((0, 0), (0, 700), (700, 700), (700, 0)):
        (pen.lineTo if pen.points else pen.moveTo)(point)
    pen.closePath()
    square, names = pen.glyph(), {ord(char): f"g{number}" for number, char in enumerate(LACKING)}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap(names)
    builder.setupGlyf(dict.fromkeys([".notdef", *names.values()], square))
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names.values()], (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable(
        {"familyName": "Test East", "styleName": "Regular", "fullName": "Test East", "psName": "TestEast"}
    )
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "east.ttf")
    font_manager.fontManager.addfont(tmp_path / "east.ttf")


def drawn(tmp_path, text: str) -> tuple[list[str], str]:
    """Warnings of a figure with a text, and its words as an SVG holds them."""
    figure = plt.figure(figsize=(3, 1))
    figure.text(0.1, 0.5, text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        save(figure, pd.DataFrame({"text": [text]}), str(tmp_path / "figure"))
    plt.close(figure)
    return [str(warning.message) for warning in caught], (tmp_path / "figure.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["fly a kite", "запускать змея", "χαρταετός", "עפיפון", "طائرة", "süße Äpfel"])
def test_what_the_own_font_has_is_drawn_with_it(only_dejavu, tmp_path, text):
    found, svg = drawn(tmp_path, text)
    assert found == []
    assert "Boxes:" not in svg


@pytest.mark.parametrize(
    ("text", "script"), [("红风筝", "CJK"), ("पतंग", "DEVANAGARI"), ("ไทย", "THAI"), ("こア", "HIRAGANA, KATAKANA")]
)
def test_what_no_font_has_is_said_in_the_figure_and_in_a_warning(only_dejavu, tmp_path, text, script):
    found, svg = drawn(tmp_path, f"kite {text}")
    assert any(message.startswith(f"no font for {script}") and "fonts-noto-cjk" in message for message in found)
    assert f"Boxes: no installed font has {script}" in svg


def test_what_another_installed_font_has_is_drawn_with_that(east_asian, tmp_path):
    found, svg = drawn(tmp_path, f"kite {LACKING}")
    assert found == []
    assert "Boxes:" not in svg
    assert "TestEast" in svg, "its glyphs are in the file"


def test_few_fonts_are_taken_and_the_rest_is_named(east_asian):
    assert choose_fonts(LACKING + "한") == (["Test East"], {"한"})
    assert choose_fonts("") == ([], set())
    assert scripts_of("红한ไ") == ["CJK", "HANGUL", "THAI"]
    assert not set(LACKING) & characters_of(DEJAVU)
