"""docs/outputs.md describes every column of every table that a study writes, and no other."""

from __future__ import annotations

import pandas as pd
import pytest

from outputs_page import EVERYWHERE, SECTIONS, described, faults, section, tables


def test_every_column_of_every_table_is_described_and_no_other(study):
    assert faults(study.folder) == []
    written = {section(name) for name in tables(study.folder)}
    # Written on demand: tested where they are asked for.
    on_demand = {key for key in SECTIONS if any(word in key for word in ("downstream", "steps", "quirks", "patched"))}
    assert written == set(SECTIONS) - on_demand


@pytest.mark.parametrize("figure", ["masked_curve", "head_scores"])
def test_what_a_figure_draws_has_columns_of_the_tables(study, figure):
    drawn = set(pd.read_csv(study.folder / f"results/figures/{figure}.tsv", sep="\t", nrows=1).columns)
    assert drawn <= EVERYWHERE | described(SECTIONS[f"results/tables/{figure}.tsv"])
