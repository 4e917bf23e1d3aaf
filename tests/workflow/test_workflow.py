"""The chain end to end on a small grid."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from studies import ROOT, SMALL, Study

# Drawn only where two models are of one family, or where the config asks for tasks, quirks, patching or sum attention.
UNDRAWN = {"model_correlation", "cot_direct", "extract_qa", "quirks", "patched_curve"}
UNDRAWN |= {"sum_attention_depths", "sum_attention_lowest"}
FIGURES = {notebook.stem for notebook in (ROOT / "workflow/notebooks").glob("*.ipynb")} - UNDRAWN
MODEL_JOBS = {
    "place_needles": 2,
    "detect_heads": 1,
    "aggregate_scores": 1,
    "select_head_sets": 1,
    "run_masked_niah": 1,
    "classify_errors": 1,
    "trace_attention": 1,
}


def changed(**parts) -> dict:
    return {**SMALL, **parts}


@pytest.fixture
def config(study):
    """Writes another config for one test and puts the old one back."""
    yield study.write
    study.write(SMALL)


def test_the_default_plans_one_job_a_model_and_stage(tmp_path):
    fresh = Study(tmp_path)
    fresh.write({})
    two = {rule: 2 * count for rule, count in MODEL_JOBS.items()}
    tables = {
        "summarize_masking": 1,
        "select_examples": 1,
        "combine_traces": 1,
        "compare_models": 1,
        "compare_scores": 1,
        "evaluate_claims": 1,
        "measure_reach": 1,
        "write_study_page": 1,
        "draw_figure": len(FIGURES),
    }
    assert fresh.planned() == {"build_phantom": 1, "inspect_model": 2, "tokenize_haystacks": 2, **tables, **two}


def test_every_stage_wrote_its_files(study):
    for model, heads in (("phantom", 32), ("organism", 48)):
        folder = study.folder / "results" / model
        cells = pd.read_csv(folder / "detection/cells.tsv", sep="\t")
        assert len(cells) == 3 * 2 * 3
        assert len(list((folder / "detection/cells").glob("*.tsv"))) == len(cells)
        ranking = pd.read_csv(folder / "ranking.tsv", sep="\t")
        assert len(ranking) == heads
        assert ((ranking["ci_low"] <= ranking["score"]) & (ranking["score"] <= ranking["ci_high"])).all()
        released = json.loads((study.folder / f"results/head_score/{model}.json").read_text())
        assert len(released) == heads
        assert {len(scores) for scores in released.values()} == {int(cells["passed"].sum())}
    assert {path.stem for path in (study.folder / "results/figures").iterdir()} == FIGURES
    for figure in FIGURES:
        for kind in ("pdf", "svg", "png", "tsv"):
            assert (study.folder / f"results/figures/{figure}.{kind}").stat().st_size > 100


def test_spans_lie_inside_their_prompts(study):
    for table in study.folder.glob("results/*/*/placement.tsv"):
        cells = pd.read_csv(table, sep="\t")
        order = cells[["needle_start", "answer_start", "answer_end", "needle_end", "question_start", "prompt_tokens"]]
        assert (order.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
        assert (cells["question_start"] == cells["length"] - 128).all()


def test_random_controls_hold_no_retrieval_head(study):
    for model in ("phantom", "organism"):
        folder = study.folder / "results" / model
        ranking = pd.read_csv(folder / "ranking.tsv", sep="\t")
        retrieval = {(row.layer, row.head) for row in ranking.itertuples() if row.score > 0.1}
        sets = json.loads((folder / "head_sets.json").read_text())
        assert {(entry["kind"], entry["k"]) for entry in sets} == {(a, k) for a in ("top", "random") for k in (2, 5)}
        for entry in sets:
            assert len(entry["heads"]) == entry["k"]
            if entry["kind"] == "random":
                assert not retrieval & {tuple(head) for head in entry["heads"]}


def test_the_phantom_is_measured_as_it_was_planted(study):
    roles = json.loads((study.folder / "results/models/phantom/phantom.json").read_text())
    planted = {(head["layer"], head["head"]) for head in roles if head["role"] == "copy"}
    ranking = pd.read_csv(study.folder / "results/phantom/ranking.tsv", sep="\t")
    found = {(row.layer, row.head) for row in ranking.itertuples() if row.score > 0.1}
    assert found == planted
    runs = pd.read_csv(study.folder / "results/phantom/masked/runs.tsv", sep="\t").groupby("head_set")["passed"].mean()
    assert runs["unmasked"] == 1
    assert runs[f"top-{len(planted)}"] == 0
    assert (runs.filter(like="random") == 1).all()


def test_a_finished_cell_is_never_computed_again(study):
    """As after a kill: the declared outputs are gone, one cell is missing, the others are there."""
    folder = study.folder / "results/organism/detection"
    before = (folder / "scores.tsv.gz").read_bytes(), pd.read_csv(folder / "cells.tsv", sep="\t")
    (folder / "cells.tsv").unlink()
    (folder / "scores.tsv.gz").unlink()
    (folder / "cells/kite_256_50.json").unlink()
    run = study.snakemake("results/organism/detection/cells.tsv")
    assert run.returncode == 0, run.stdout
    assert "17 of 18 cells are done already" in (study.folder / "logs/organism/detect_heads_detection.log").read_text()
    after = pd.read_csv(folder / "cells.tsv", sep="\t")
    timed = ["seconds", "prefilled_tokens"]
    pd.testing.assert_frame_equal(before[1].drop(columns=timed), after.drop(columns=timed))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"detection": {"lenghts": [256]}}, "detection: unknown key 'lenghts'; did you mean 'lengths'?"),
        ({"models": {"ghost": {"path": "nowhere"}}}, "models.ghost.path: there is no 'nowhere/config.json'"),
    ],
)
def test_a_bad_config_stops_before_any_job(study, config, parts, message):
    config(changed(**parts))
    run = study.snakemake("-n")
    assert run.returncode != 0
    assert message in run.stdout
    assert "Traceback" not in run.stdout


def test_a_length_that_no_haystack_holds_stops_at_placement(tmp_path):
    fresh = Study(tmp_path)
    short = tmp_path / "texts"
    short.mkdir()
    (short / "short.txt").write_text("One sentence only. " * 20)
    fresh.write({**SMALL, "haystacks": {"folder": str(short)}})
    run = fresh.snakemake("results/organism/detection/placement.tsv")
    assert run.returncode != 0
    assert "tokens too short for a length of 448" in run.stdout
    assert "haystacks.repeat" in (tmp_path / "logs/organism/place_needles_detection.log").read_text()


def test_no_cell_passed_writes_no_head_scores(study, tmp_path):
    """With a bar of 100 % recall exceeded by none, the merge says so and writes no empty JSON."""
    fresh = Study(tmp_path)
    fresh.write(changed(detection={**SMALL["detection"], "lengths": [256], "depths": [0], "success_recall": 100}))
    run = fresh.snakemake("results/head_score/organism.json")
    assert run.returncode != 0
    assert "organism: none of 3 cells passed (best ROUGE-1 recall" in run.stdout
    assert not Path(tmp_path / "results/head_score/organism.json").exists()
