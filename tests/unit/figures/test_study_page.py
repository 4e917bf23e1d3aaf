"""The page of a study: one file, nothing fetched, every figure with a caption and a text for screen readers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retrieval_heads.figures.study_page import LARGEST_SVG, Figure, captions, claims_table, embedded, write_study_page

ROOT = Path(__file__).parents[3]
REPORT = ROOT / "workflow/report"
CLAIMS = pd.DataFrame(
    {
        "model": ["m", "m"],
        "claim": ["universal: …", "intrinsic: …"],
        "measure": ["score of its best head", "not decided: no relative"],
        "value": [0.8, np.nan],
        "ci_low": [0.7, np.nan],
        "ci_high": [0.9, np.nan],
        "interval": ["needles, then cells", np.nan],
        "against": ["threshold", np.nan],
        "against_value": [0.1, np.nan],
    }
)


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
        "title": "Retrieval heads of M & <N>",
        "models": ["M"],
        "findings": {"M": ["18 of 270 heads."]},
        "claims": claims_table(CLAIMS),
        "figures": [figure],
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


def test_claims_without_a_number_say_why():
    decided, open_claim = claims_table(CLAIMS)
    assert decided["value"] == "0.8 [0.7, 0.9]" and decided["against"] == "threshold: 0.1"
    assert open_claim["value"] == open_claim["against"] == "" and open_claim["measure"].startswith("not decided")


def test_a_large_drawing_is_embedded_as_png(tmp_path):
    (tmp_path / "a.svg").write_text("x" * (LARGEST_SVG + 1), encoding="utf-8")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert embedded(tmp_path / "a.svg").startswith("data:image/png;base64,")
