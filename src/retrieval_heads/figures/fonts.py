"""Fonts for texts that a study brings along: its answers, tokens and labels may be of any script.

The figures' own font has no Chinese, Japanese, Korean, Devanagari or Thai. What it lacks is taken from the fonts that
are installed; what none of them has is said in the figure and in a warning.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable
from functools import cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

REMEDY = "install a font that has them (on Debian: fonts-noto-core, fonts-noto-cjk)"


def cover_characters(figure: Figure) -> None:
    """Give every text of a figure the installed fonts that its characters need, and say what none of them has."""
    absent: set[str] = set()
    for text in figure.findobj(Text):
        if text.get_text().isascii():
            continue
        missing = _drawn(text.get_text()) - characters_of(font_manager.findfont(text.get_fontproperties()))
        names, left = choose_fonts(missing)
        if names:
            text.set_fontfamily([*text.get_fontfamily(), *names])
        absent |= left
    if absent:
        said = f"no font for {', '.join(scripts_of(absent))} ({' '.join(sorted(absent)[:12])})"
        warnings.warn(f"{said}: empty boxes are drawn; {REMEDY}", stacklevel=2)
        named = f"Boxes: no installed font has {', '.join(scripts_of(absent))}; {REMEDY}"
        figure.text(0.995, 0.002, named, ha="right", va="bottom", fontsize=4.5, color="#AA0000")


def choose_fonts(missing: Iterable[str]) -> tuple[list[str], set[str]]:
    """Names of the fewest installed fonts that have the missing characters, and the characters that none has."""
    left, names = set(missing), []
    while left:
        best = max(_installed(), key=lambda font: len(left & characters_of(font[1])), default=None)
        if best is None or not left & characters_of(best[1]):
            break
        names.append(best[0])
        left -= characters_of(best[1])
    return names, left


def scripts_of(characters: Iterable[str]) -> list[str]:
    """What Unicode calls the scripts of some characters: CJK, DEVANAGARI, THAI."""
    return sorted({unicodedata.name(character, "UNNAMED").split()[0] for character in characters})


def _drawn(text: str) -> set[str]:
    """The characters of a text that leave ink."""
    return {char for char in text if unicodedata.category(char)[0] not in "CZ"}


def _installed() -> list[tuple[str, str]]:
    """Name and file of every upright font, Noto and DejaVu first, so that the same ones are taken everywhere.

    Matplotlib's Last Resort has a box for every character, which is none.
    """
    upright = {(font.name, font.fname) for font in font_manager.fontManager.ttflist if font.style == "normal"}
    real = [font for font in upright if not font[0].startswith("Last Resort")]
    return sorted(real, key=lambda font: (not font[0].startswith(("DejaVu", "Noto Sans")), font))


@cache
def characters_of(file: str) -> frozenset[str]:
    """The characters that a font file has."""
    return frozenset(map(chr, font_manager.get_font(file).get_charmap()))
