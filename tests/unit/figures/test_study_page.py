"""The page of a study: one file, nothing fetched, every figure with a caption and a text for screen readers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from retrieval_heads.figures.html_tables import CLAIMS, MODELS, as_html
from retrieval_heads.figures.study_page import LARGEST_SVG, Figure, captions, embedded, write_study_page

ROOT = Path(__file__).parents[3]
REPORT = ROOT / "workflow/report"
FOUND = pd.DataFrame(
    {
        "model": ["M", "M"],
        "claim": ["universal: …", "intrinsic: …"],
        "in_words": ["The best of 270 heads has a mean score of 0.8 [0.7, 0.9].", "No relative."],
        "interval": ["needles, then cells", None],
        "to_decide": [None, "a model of the same `family`"],
    }
)
COUNTS = pd.DataFrame({"model": ["M"], "layers": [30], "heads": [270], "share": [20 / 3]})


class Seen(HTMLParser):
    """Tags with their attributes, in order."""

    def __init__(self):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def page(tmp_path) -> str:
    (tmp_path / "a.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8")
    texts = captions(REPORT / "figure.rst", ["masked_curve"])
    figure = Figure("What masking does", texts["masked_curve"], embedded(tmp_path / "a.svg"), "results/figures/a.tsv")
    content = {
        "models": ["M & <N>"],
        "claims": as_html(FOUND, CLAIMS),
        "figures": [figure],
        "tables": [{"title": MODELS.title, "html": as_html(COUNTS, MODELS)}],
        "attention": [{"model": "M", "cells": [{"cell": {}, "steps": ["</script>"], "fields": [], "heads": []}]}],
        "settings": {"model M": "somewhere"},
        "commit": None,
        "config": "models: {}",
    }
    write_study_page(tmp_path / "study.html", REPORT / "study.html.j2", content)
    return (tmp_path / "study.html").read_text(encoding="utf-8")


def test_nothing_is_fetched(page):
    seen = Seen()
    seen.feed(page)
    sources = [value for _, attributes in seen.tags for name, value in attributes.items() if name in ("src", "srcset")]
    assert sources and all(source.startswith("data:") for source in sources)
    assert not [tag for tag, _ in seen.tags if tag in ("link", "iframe")]
    assert page.count("</script>") == page.count("<script"), "text of a model ends no script"
    assert "@import" not in page and "url(" not in page


def test_it_can_be_read_without_seeing_it(page):
    seen = Seen()
    seen.feed(page)
    tags = [tag for tag, _ in seen.tags]
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), "no level is skipped"
    assert all(len(attributes["alt"]) > 40 for tag, attributes in seen.tags if tag == "img")
    assert ("html", {"lang": "en"}) in seen.tags
    assert tags.count("caption") == tags.count("table")


def test_text_is_escaped_and_captions_are_html(page):
    assert "M &amp; &lt;N&gt;" in page
    assert "<figcaption><" in page.replace("\n", "") and "{%" not in page and "``" not in page


def test_everything_is_read_without_a_click(page):
    seen = Seen()
    seen.feed(page)
    assert not [tag for tag, _ in seen.tags if tag in ("details", "dialog")]
    assert "overflow-x" not in page, "nothing is reached by scrolling sideways"
    sections = re.findall(r'<h2 id="(\w+)">', page)
    assert sections == ["claims", "figures", "tables", "look", "settings", "again"]


def test_a_large_drawing_is_embedded_as_png(tmp_path):
    (tmp_path / "a.svg").write_text("x" * (LARGEST_SVG + 1), encoding="utf-8")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert embedded(tmp_path / "a.svg").startswith("data:image/png;base64,")
