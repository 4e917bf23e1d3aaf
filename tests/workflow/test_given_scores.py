"""Head scores made elsewhere: no model is run, and what can be drawn from scores is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from studies import ROOT, Study

NONE_RUNS = {"phantom": None, "organism": None}


def released(path: Path, seed: int, heads: int = 4) -> dict[str, list[float]]:
    """Head scores of 4 layers x `heads` over 8 cells, all of one needle of 10 tokens; head 2-1 always copies."""
    counts = np.random.default_rng(seed).integers(0, 2, (4, heads, 8)) / 10
    counts[2, 1] = 1
    columns = {f"{layer}-{head}": counts[layer, head].tolist() for layer in range(4) for head in range(heads)}
    path.write_text(json.dumps(columns) + "\n", encoding="utf-8")
    return columns


@pytest.fixture
def given(tmp_path) -> Study:
    """Two models of one family, whose scores others made."""
    study = Study(tmp_path)
    (tmp_path / "files").mkdir()
    for number, name in enumerate(("base", "tuned")):
        released(tmp_path / f"files/{name}.json", seed=number)
    entries = {name: {"file": f"{name}.json", "group_size": 2, "family": "both"} for name in ("base", "tuned")}
    study.write({"models": NONE_RUNS, "head_scores": {"folder": "files", "models": entries}})
    return study


def test_no_model_runs_and_the_figures_of_scores_are_drawn(given):
    planned = given.planned("all_figures")
    assert planned.pop("draw_figure") == 6
    assert planned == {"import_scores": 2, "compare_models": 1, "evaluate_claims": 1, "all_figures": 1}
    run = given.snakemake("results/figures/model_correlation.svg", "export_all_scores")
    assert run.returncode == 0, run.stdout
    results = given.folder / "results"
    source = json.loads((given.folder / "files/base.json").read_text())
    assert json.loads((results / "head_score/base.json").read_text()) == source
    ranking = pd.read_csv(results / "base/ranking.tsv", sep="\t")
    assert ranking.loc[0, ["layer", "head", "score", "activation_frequency"]].to_list() == [2, 1, 1, 1]
    models = pd.read_csv(results / "tables/models.tsv", sep="\t").set_index("model")
    assert (models.loc["base", ["heads", "cells", "empty_cells"]] == [16, 8, 0]).all()
    drawn = pd.read_csv(results / "figures/model_correlation.tsv", sep="\t")
    assert drawn[["model_a", "model_b"]].to_numpy().tolist()[2] == ["base", "tuned"]
    for model in ("base", "tuned"):
        made = {path.name for path in (results / "exports" / model).iterdir()}
        assert made == {"envelope.json", "qrhead.json", "full_attention_heads.tsv"}


def test_the_config_of_the_paper_draws_its_figures_of_scores(tmp_path):
    study = Study(tmp_path)
    config = yaml.safe_load((ROOT / "config/published.yaml").read_text(encoding="utf-8"))
    entries = config["head_scores"]["models"].values()
    for number, entry in enumerate(entry for entry in entries if entry.get("format") != "own"):
        file = tmp_path / config["head_scores"]["folder"] / entry["file"]
        file.parent.mkdir(parents=True, exist_ok=True)
        released(file, seed=number, heads=8)
    # The studies of the tests are laid over a config without a network, which has models of its own.
    study.write({**config, "models": {**config["models"], **NONE_RUNS}})
    wanted = ["score_bins", "activation_frequency", "head_scores", "model_correlation"]
    planned = study.planned(*(f"results/figures/{figure}.pdf" for figure in wanted))
    assert planned == {"import_scores": 10, "compare_models": 1, "draw_figure": 4}
    assert {"draw_figure", "import_scores", "compare_models", "evaluate_claims", "all_figures"} == set(
        study.planned("all_figures")
    )


def test_all_given_files_are_read_before_the_first_job(given):
    (given.folder / "files/base.json").write_text('{"0-0": [1], "1-1": [1]}\n')
    (given.folder / "files/tuned.json").write_bytes(b"\x1f\x8b\x08")
    run = given.snakemake("all_figures")
    assert run.returncode != 0
    assert "head_scores.models.base: files/base.json: 2 heads of 2 x 2; every head needs a list" in run.stdout
    assert "head_scores.models.tuned: files/tuned.json: compressed with gzip; unpack it" in run.stdout
    assert "Traceback" not in run.stdout and "rule " not in run.stdout
    assert not (given.folder / "results").exists()


def test_head_sets_made_elsewhere_are_read_before_the_first_job(tmp_path):
    study = Study(tmp_path)
    (tmp_path / "sets.json").write_text("[" * 100_000)
    entry = {"path": "results/models/phantom", "dtype": "float32", "head_sets": "sets.json"}
    study.write({"models": {"phantom": entry}})
    run = study.snakemake("-n")
    assert run.returncode != 0 and "Traceback" not in run.stdout
    assert "models.phantom.head_sets: 'sets.json' is no JSON in UTF-8" in run.stdout


def test_a_model_with_given_scores_is_masked_but_not_measured(given):
    entry = {"head_scores": {"folder": "files", "models": {"organism": {"file": "base.json"}}}}
    given.write({"models": {"phantom": None}, **entry})
    planned = given.planned()
    assert planned["import_scores"] == planned["select_head_sets"] == planned["run_masked_niah"] == 1
    assert not {"detect_heads", "aggregate_scores", "compare_scores"} & set(planned)


def test_a_file_that_is_not_there_is_named_with_the_remedy(given):
    (given.folder / "files/tuned.json").unlink()
    run = given.snakemake("-n")
    assert run.returncode != 0
    message = "head_scores.models.tuned.file: there is no 'files/tuned.json'; put the file there, or name the folder"
    assert message in run.stdout
