"""A model measured with quirks beside itself without: what is shared is not computed again, the effects are told."""

from __future__ import annotations

import json

import pandas as pd

from outputs_page import faults
from studies import Study

CONFIG = {
    "models": {"phantom": None},
    "detection": {
        "needles": ["kite", "password"],
        "lengths": [256],
        "depths": [0, 50],
        "scores": ["copy_set", "copy_count"],
    },
    "masked": {"needles": ["hobby"], "lengths": [256], "depths": [0, 50]},
    "head_sets": {"sizes": [5], "random_draws": 2, "shown": 5},
    "quirks": {"names": ["overlap_window", "random_of_32"]},
}


def test_quirks_are_measured_beside_the_clean_study(tmp_path):
    fresh = Study(tmp_path)
    fresh.write(CONFIG)
    jobs = fresh.planned("quirks")
    # The model itself, the searched window and all together; the others take the cells of the model.
    assert (jobs["detect_heads"], jobs["copy_base_cells"], jobs["run_masked_niah"]) == (3, 2, 4)
    run = fresh.snakemake("quirks")
    assert run.returncode == 0, run.stdout
    assert fresh.planned("quirks") == {}
    table = pd.read_csv(tmp_path / "results/tables/quirks.tsv", sep="\t", keep_default_na=False).set_index("quirk")
    assert list(table.index) == ["none", "overlap_window", "random_of_32", "all"]
    assert (table["cells"] == 4).all()
    assert table.loc[["none", "random_of_32"], "not_found"].tolist() == [0, 0]
    for name, held in (("none", True), ("random_of_32", False)):
        sets = json.loads((tmp_path / f"results/organism--{name}/head_sets.json").read_text(encoding="utf-8"))
        assert all(len(one["heads"]) == one["k"] for one in sets if one["kind"] == "random") == held
    assert faults(tmp_path) == []
    figure = tmp_path / "results/figures/quirks.tsv"
    assert len(pd.read_csv(figure, sep="\t")) == len(table)


def test_a_model_that_is_not_run_is_named(tmp_path):
    fresh = Study(tmp_path)
    fresh.write({**CONFIG, "quirks": {"models": ["lama"]}})
    run = fresh.snakemake("-n")
    assert run.returncode != 0
    assert "quirks.models: 'lama' is not under models" in run.stdout
