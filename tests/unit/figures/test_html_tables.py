"""Tables as they are read: units in the heads, rounded numbers over full ones, a line that says how."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from retrieval_heads.figures.html_tables import CLAIMS, CONTRAST, MODELS, RANKING, as_html, best_heads, write_page

CONTRASTS = pd.DataFrame(
    {
        "model": ["a <b>"],
        "k": [5],
        "top": [0.0],
        "random": [91.9444],
        "random_low": [84.2361],
        "random_high": [97.5],
        "difference": [-91.9444],
        "ci_low": [-97.1234],
        "ci_high": [-80.0],
        "draws": [10],
        "p_draws_corrected": [float("nan")],
        "p_needles_corrected": [0.03125],
    }
)


def cells(table: pd.DataFrame, readable) -> dict[str, str]:
    """Head -> cell of a table of one row."""
    found = re.findall(r'<td role="cell" data-head="([^"]*)"[^>]*>(.*?)</td>', as_html(table, readable))
    assert len(found) == len(dict(found))
    return dict(found)


def test_numbers_are_rounded_over_the_full_ones():
    row = cells(CONTRASTS, CONTRAST)
    assert row["Difference (points) [95\u00a0% interval]"] == (
        '<data value="-91.9444" title="-91.9444">−91.9</data> [−97.1, −80]'
    )
    assert row["Success, random heads masked (% of cells) [middle 95\u00a0% of draws]"].endswith("</data> [84.2, 97.5]")
    assert row["Heads masked"] == '<data value="5" title="5">5</data>'


def test_rows_stand_below_the_name_of_their_model():
    other = pd.concat([CONTRASTS, CONTRASTS.assign(model="b"), CONTRASTS.assign(model="b", k=10)])
    assert re.findall(r'scope="rowgroup"[^>]*>([^<]*)</th>', as_html(other, CONTRAST)) == ["a &lt;b&gt;", "b"]


def test_a_text_keeps_numbers_beside_their_units_and_marks_names():
    open_claim = pd.DataFrame({"model": ["m"], "claim": ["few"], "to_decide": ["5 % <now>, of `family` 1-2"]})
    assert cells(open_claim, CLAIMS)["What would decide it"] == (
        '5\u00a0% &lt;now&gt;, of <code>family</code> <span style="white-space: nowrap">1-2</span>'
    )


def test_columns_that_hold_nothing_are_left_out():
    heads = cells(CONTRASTS, CONTRAST).keys()
    assert "p over needles, corrected" in heads
    assert not {"p over draws, corrected", "Cells"} & heads


def test_shares_are_read_as_percent_with_their_intervals():
    head = {"model": "m", "rank": 1, "layer": 18, "head": 6, "score": 0.8, "ci_low": 0.7, "ci_high": 0.9}
    frequency = {"activation_frequency": 0.975, "activation_low": 0.9, "activation_high": 1.0, "cells": 88}
    table = pd.DataFrame([head | frequency, head | frequency | {"rank": 30}, head | frequency | {"rank": None}])
    row = cells(best_heads(table, 20), RANKING)
    assert row["Active (% of cells) [95\u00a0% interval]"].endswith(">97.5</data> [90, 100]")


@pytest.mark.parametrize("readable", [CLAIMS, MODELS, CONTRAST, RANKING])
def test_every_table_says_how_it_is_read_and_where_its_numbers_are(readable, tmp_path):
    write_page(pd.DataFrame({"model": ["m"]}), readable, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(readable.reading.split()) > 10 and f"<code>{readable.source}</code>" in page
    assert '<html lang="en">' in page and "<caption>" in page
    heads = [column.head for column in readable.columns]
    assert len(set(heads)) == len(heads)
    measured = [column for column in readable.columns if column.ends or column.value in ("share", "top")]
    assert all("%" in column.head or "points" in column.head for column in measured)
