"""Patched runs from end to end on the phantom: what comes out, what is reused, what is refused."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from outputs_page import faults
from studies import ROOT, Study

CONFIG = {
    "models": {"organism": None},
    "detection": {
        "needles": ["kite", "soup"],
        "lengths": [256],
        "depths": [0, 50],
        "scores": ["copy_count"],
    },
    "masked": {"needles": ["hobby", "rule"], "lengths": [256], "depths": [0, 100]},
    "head_sets": {"sizes": [2, 5], "random_draws": 2, "shown": 5},
    "patched": {"models": ["phantom"], "what": ["outputs", "weights"]},
}
RUNS = "results/phantom/patched/runs.tsv"


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Study:
    study = Study(tmp_path_factory.mktemp("patching"))
    study.write(CONFIG)
    jobs = study.planned("all_figures")
    assert (jobs["choose_counterparts"], jobs["run_patching"], jobs["summarize_patching"]) == (1, 1, 1)
    run = study.snakemake("all_figures")
    assert run.returncode == 0, run.stdout
    return study


def read(study: Study, name: str) -> pd.DataFrame:
    return pd.read_csv(study.folder / name, sep="\t", keep_default_na=False, na_values=[""])


def test_the_planted_heads_are_enough_and_others_give_nothing(done):
    runs = read(done, RUNS)
    # Four cells, two directions, two things patched; two sizes of a top and two random sets, and the three limits.
    assert len(runs) == 4 * 2 * 2 * (2 * 3 + 3)
    curve = read(done, "results/tables/patched_curve.tsv")
    outputs = curve[curve["what"] == "outputs"].set_index(["direction", "kind", "k"])
    for direction in ("denoising", "noising"):
        assert outputs.loc[(direction, "top", 5), "share"] == pytest.approx(100, abs=0.5)
        assert outputs.loc[(direction, "top", 5), "greedy"] == 100
        assert outputs.loc[(direction, "random", 5), "share"] == pytest.approx(0, abs=0.5)
        assert outputs.loc[(direction, "all", 32), "share"] == pytest.approx(100, abs=0.01)
    assert outputs.loc[("denoising", "top", 5), "masked_success"] == 0
    claims = read(done, "results/tables/claims.tsv")
    row = claims[claims["claim"].str.startswith("sufficient")].iloc[0]
    assert row["value"] == pytest.approx(100, abs=0.5) and abs(row["against_value"]) < 0.5


def test_its_tables_are_described_and_its_figure_is_drawn(done):
    assert faults(done.folder) == []
    for kind in ("pdf", "svg", "png", "tsv"):
        assert (done.folder / f"results/figures/patched_curve.{kind}").stat().st_size > 100


def test_an_interrupted_run_goes_on_at_the_first_missing_cell(done):
    before = read(done, RUNS)
    (done.folder / RUNS).unlink()
    (done.folder / "results/phantom/patched/runs/rule_256_100.json").unlink()
    run = done.snakemake(RUNS)
    assert run.returncode == 0, run.stdout
    log = (done.folder / "logs/phantom/run_patching.log").read_text(encoding="utf-8")
    assert "3 of 4 cells are done already" in log
    pd.testing.assert_frame_equal(before, read(done, RUNS), rtol=1e-5, atol=1e-5)


def test_another_counterpart_is_another_cell(done):
    """The side file of a cell is that of both of its prompts."""
    folder = done.folder / "results/phantom/patched"
    chosen = json.loads((folder / "counterparts.json").read_text(encoding="utf-8"))
    keys = [json.loads((folder / f"runs/hobby_256_{depth}.json").read_text())["key"] for depth in (0, 100)]
    table = (ROOT / "resources/needles.tsv").read_text(encoding="utf-8")
    assert chosen["hobby"]["answer"] in table
    mine = done.folder / "needles.tsv"
    mine.write_text(table.replace(chosen["hobby"]["answer"], "seven volcanoes dancing behind orange emerald buttons"))
    done.write({**CONFIG, "needles": str(mine)})
    try:
        run = done.snakemake(RUNS)
    finally:
        done.write(CONFIG)
    assert run.returncode == 0, run.stdout
    after = [json.loads((folder / f"runs/hobby_256_{depth}.json").read_text())["key"] for depth in (0, 100)]
    assert not set(keys) & set(after)


def test_a_counterpart_of_other_length_stops_before_the_model_is_loaded(tmp_path):
    fresh = Study(tmp_path)
    table = (ROOT / "resources/needles.tsv").read_text(encoding="utf-8")
    table = table.replace("walruses must fly behind yellow accordions", "walruses must fly")
    (tmp_path / "needles.tsv").write_text(table)
    fresh.write({**CONFIG, "needles": str(tmp_path / "needles.tsv")})
    run = fresh.snakemake(RUNS, "--until", "choose_counterparts")
    assert run.returncode != 0
    assert "patched: no counterpart of needle 'rule' has the 6 tokens of its answer" in run.stdout
    assert "'walruses must fly' has 3" in run.stdout
