"""The plan of a study: counted jobs, refusals, and predictions against what real runs took."""

from __future__ import annotations

import itertools
import json
import resource

import pandas as pd
import pytest
import yaml
from transformers import AutoTokenizer

from studies import ROOT, SMALL, Study

# About what one CPU thread reaches on models of some million parameters.
CPU = {"teraflops": 0.02, "gigabytes_per_second": 10}


def full_scale(name: str, folder) -> Study:
    fresh = Study(folder)
    config = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8"))
    # Below it lies the study without a network.
    config["models"]["organism"] = None
    fresh.write(config)
    return fresh


def planned_table(study: Study) -> pd.DataFrame:
    return pd.read_csv(study.folder / "results/plan.tsv", sep="\t")


@pytest.mark.parametrize(("name", "models"), [("paper", 11), ("modern", 8)])
def test_a_full_scale_config_gives_the_expected_jobs_in_seconds(name, models, tmp_path):
    """Of processor time: the wall clock hears other programs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = full_scale(name, tmp_path).planned()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10
    for rule in (
        "download_model",
        "inspect_model",
        "tokenize_haystacks",
        "detect_heads",
        "aggregate_scores",
        "select_head_sets",
        "run_masked_niah",
    ):
        assert jobs[rule] == models, rule
    assert jobs["place_needles"] == 2 * models


@pytest.mark.parametrize(("name", "models"), [("paper", 11), ("modern", 8)])
def test_a_full_scale_config_can_be_planned_without_gpu_or_network(name, models, tmp_path):
    fresh = full_scale(name, tmp_path)
    run = fresh.snakemake("plan_study")
    assert run.returncode == 0, run.stdout
    table = planned_table(fresh)
    assert len(table) == 2 * models and table["refused"].isna().all()
    assert (table["tokens_reused"] < 0.6 * table["tokens"]).all()
    detection = table[table["rule"] == "detect_heads"]
    assert (detection["cells"] == 600).all()
    printed = [line for line in run.stdout.splitlines() if " detect_heads " in line]
    assert len(printed) == models


def test_what_cannot_fit_is_refused_with_the_length_that_would(tmp_path):
    """Llama-2-7B keeps 0.5 MB of keys and values for each token: 150,000 tokens are 79 GB."""
    fresh = Study(tmp_path)
    hub = {"hub": "meta-llama/Llama-2-7b-hf", "revision": "main", "gpus": 1, "window": 200000}
    config = {"models": {"phantom": None, "organism": None, "big": hub}, "masked": {"lengths": [1000]}}
    fresh.write({**config, "detection": {"lengths": [150000], "depths": [0]}})
    run = fresh.snakemake("plan_study")
    assert run.returncode != 0
    assert "models.big, detect_heads: 150000 tokens do not fit into 1 cards of 80 GB; " in run.stdout
    fitting = int(run.stdout.split("1 cards of 80 GB; ")[1].split(" would")[0])
    assert 80000 < fitting < 120000
    fresh.write({**config, "detection": {"lengths": [fitting], "depths": [0]}})
    run = fresh.snakemake("plan_study")
    assert run.returncode == 0, run.stdout


def test_a_length_beyond_the_window_is_refused(tmp_path):
    fresh = Study(tmp_path)
    hub = {"hub": "meta-llama/Llama-2-7b-hf", "revision": "main"}
    fresh.write({"models": {"phantom": None, "organism": None, "base": hub}, "detection": {"lengths": [1000, 5000]}})
    run = fresh.snakemake("plan_study")
    assert run.returncode != 0
    assert "models.base, detect_heads: 5000 tokens do not fit into its window; 4096 would" in run.stdout


def test_a_model_of_unknown_architecture_is_named(tmp_path):
    fresh = Study(tmp_path)
    fresh.write({"models": {"new": {"hub": "somebody/something", "revision": "main"}}})
    run = fresh.snakemake("plan_study")
    assert run.returncode != 0
    assert "resources/architectures/somebody__something.json" in run.stdout


def test_predicted_tokens_are_those_that_a_study_prefilled(study):
    study.write({**SMALL, "plan": CPU})
    run = study.snakemake("plan_study")
    study.write(SMALL)
    assert run.returncode == 0, run.stdout
    table = planned_table(study).set_index(["model", "rule"])
    for model in ("phantom", "organism"):
        cells = pd.read_csv(study.folder / f"results/{model}/detection/cells.tsv", sep="\t")
        predicted = table.loc[(model, "detect_heads")]
        share = predicted["tokens_reused"] / predicted["tokens"]
        assert predicted["cells"] == len(cells)
        assert share == pytest.approx(cells["prefilled_tokens"].sum() / cells["prompt_tokens"].sum(), rel=0.1)


def test_a_plan_says_what_a_changed_config_would_run_again(study):
    """Model by model and rule by rule, with the reason; and that nothing would, when nothing has changed."""
    finished = study.snakemake()  # another test may have taken files away
    assert finished.returncode == 0, finished.stdout
    assert "Nothing would run again" in study.snakemake("plan_study").stdout
    study.write({**SMALL, "masked": {**SMALL["masked"], "mode": "zero_query"}})
    run = study.snakemake("plan_study")
    study.write(SMALL)
    assert run.returncode == 0, run.stdout
    table = pd.read_csv(study.folder / "results/reruns.tsv", sep="\t").set_index(["model", "rule"])
    assert not table["missing"].any()
    for model in ("phantom", "organism"):
        assert table.loc[(model, "run_masked_niah"), ["jobs", "params", "earlier_job"]].tolist() == [1, 1, 0]
        assert table.loc[(model, "classify_errors"), ["jobs", "params", "earlier_job"]].tolist() == [1, 0, 1]
        assert not {
            (model, rule) for rule in ("place_needles", "detect_heads", "aggregate_scores", "select_head_sets")
        } & set(table.index)
    assert table.loc[("(all models)", "summarize_masking"), "earlier_job"] == 1
    assert " run_masked_niah " in run.stdout and "jobs would run, and why:" in run.stdout
    assert not (study.folder / "results/reruns_config.json").exists()


def test_hub_models_without_a_commit_are_named_before_anything_runs(tmp_path):
    fresh = Study(tmp_path)
    hub = {"hub": "meta-llama/Llama-2-7b-hf", "window": 200000}
    models = {"phantom": None, "newest": {**hub, "revision": "main"}, "pinned": {**hub, "revision": 40 * "a"}}
    fresh.write({"models": models})
    for arguments in (["-n"], ["plan_study"]):
        run = fresh.snakemake(*arguments)
        assert run.returncode == 0, run.stdout
        assert "models.newest.revision: 'main' pins nothing" in run.stdout
        assert "models.pinned" not in run.stdout


def test_the_predicted_order_of_costs_is_that_of_the_benchmarks(study, tmp_path):
    """Jobs whose predictions differ by a factor of two or more, in processor time (other programs slow the clock)."""
    large = Study(tmp_path)
    grid = {"lengths": [512, 1024, 1536, 2048], "depths": [0, 25, 50, 75, 100]}
    large.write({**SMALL, "models": {"phantom": None}, "detection": grid, "plan": CPU})
    run = large.snakemake("results/organism/detection/cells.tsv", "plan_study")
    assert run.returncode == 0, run.stdout
    study.write({**SMALL, "plan": CPU})
    assert study.snakemake("plan_study").returncode == 0
    study.write(SMALL)
    jobs = []
    for folder in (study, large):
        for job in planned_table(folder).itertuples():
            part = {"detect_heads": "detect_heads_detection", "run_masked_niah": "run_masked_niah_masked"}[job.rule]
            benchmark = folder.folder / f"results/benchmarks/{job.model}/{part}.tsv"
            if benchmark.exists():
                jobs.append((job.hours, pd.read_csv(benchmark, sep="\t")["cpu_time"].mean(), f"{job.model} {part}"))
    compared = [sorted(pair) for pair in itertools.combinations(jobs, 2) if max(pair)[0] > 2 * min(pair)[0]]
    assert len(compared) >= 4, jobs
    for (_, short, first), (_, long, second) in compared:
        assert short < long, (first, second, jobs)


def test_a_model_may_have_lengths_and_a_template_of_its_own(tmp_path):
    fresh = Study(tmp_path)
    own = {"lengths": {"min": 256, "max": 320, "intervals": 2}, "template": "<book>{context}</book>\n{question}{cue}"}
    fresh.write({**SMALL, "models": {"organism": own}})
    tables = [f"results/{model}/detection/placement.tsv" for model in ("organism", "phantom")]
    run = fresh.snakemake(*tables)
    assert run.returncode == 0, run.stdout
    lengths = [set(pd.read_csv(tmp_path / table, sep="\t")["length"]) for table in tables]
    assert lengths == [{256, 320}, {256, 448}]
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "resources/models/organism")
    pieces = json.loads((tmp_path / "results/organism/detection/pieces.json").read_text(encoding="utf-8"))
    assert tokenizer.decode(pieces["kite"]["head"]).endswith("<book>")
    assert tokenizer.decode(pieces["kite"]["tail"]).startswith("</book>")
