"""Downstream tasks on the organism, over a handful of items: it was trained on none of them, the chain is tested."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from fresh_clone import clone_into
from outputs_page import faults
from studies import ROOT, Study

REPORT = "results/tables/downstream.tsv"
BOTH = [(task, mode) for task in ("mmlu", "gsm8k", "musique") for mode in ("direct", "cot")]
FORMS = [*BOTH, ("mmlu", "loglikelihood"), ("extract_qa", "direct")]
ITEMS = ROOT / "tests/task_items"
CONFIG = {
    "models": {"phantom": None},
    "detection": {"lengths": [256], "depths": [0, 100]},
    "head_sets": {"sizes": [2, 5], "random_draws": 2},
    "downstream": {
        "tasks": ["mmlu", "gsm8k", "musique", "extract_qa"],
        "sizes": [5],
        "items": 4,
        "longest": 3000,
        "max_new_tokens": {"direct": 6, "cot": 12},
        "fluency_tokens": 64,
        "sources": {task: {"path": str(ITEMS / task)} for task in ("mmlu", "gsm8k", "musique")},
    },
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> Study:
    """A finished downstream run; all items come from files on disk."""
    clone = tmp_path_factory.mktemp("clone")
    clone_into(clone, {})
    done = Study(tmp_path_factory.mktemp("downstream"), clone)
    done.write(CONFIG)
    run = done.snakemake(REPORT, "results/figures/extract_qa.svg", "results/figures/cot_direct.svg")
    assert run.returncode == 0, run.stdout
    return done


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_response_is_kept_and_scored(asked):
    results = asked.folder / "results"
    for task, mode in FORMS:
        items = lines(results / f"tasks/{task}/items.jsonl")
        folder = results / f"organism/downstream/{task}/{mode}"
        responses = lines(folder / "responses.jsonl")
        assert len(items) == 4
        assert len(responses) == 4 * (1 + 1 + 2)
        assert {row["kind"] for row in responses} == {"none", "top", "random"}
        assert {row["k"] for row in responses} == {0, 5}
        verdicts = pd.read_csv(folder / "verdicts.tsv", sep="\t")
        assert len(verdicts) == len(responses)
        assert verdicts["score"].between(0, 1).all()
        # The text that was asked is the item's, to the letter.
        for item, prompt in zip(items, lines(folder / "prompts.jsonl"), strict=True):
            assert item["item"] == prompt["item"]
            assert item["question"] in prompt["requests"][0]
            assert len(prompt["requests"]) == (4 if mode == "loglikelihood" else 1)


def test_the_report_holds_every_form_and_kind(asked):
    table = pd.read_csv(asked.folder / REPORT, sep="\t", keep_default_na=False)
    assert set(zip(table["task"], table["mode"], strict=True)) == set(FORMS)
    assert set(zip(table["kind"], table["k"], strict=True)) == {("none", 0), ("top", 5), ("random", 5)}
    assert (table["n"] == 4).all()
    assert (table["perplexity"] > 1).all()
    assert table["cut"].max() > 0, "the short limits cut something"
    mmlu = table[table["task"] == "mmlu"]
    assert (mmlu["chance"] == 25).all()
    contrasts = pd.read_csv(asked.folder / "results/tables/downstream_contrasts.tsv", sep="\t")
    assert set(contrasts["comparison"]) == {"top - random", "cot - direct"}


def test_the_columns_of_its_tables_are_described(asked):
    assert not [fault for fault in faults(asked.folder) if "downstream" in fault]
    assert (asked.folder / "results/organism/downstream/fluency.tsv").exists()


def test_a_mask_changes_what_is_said(asked):
    responses = lines(asked.folder / "results/organism/downstream/extract_qa/direct/responses.jsonl")
    said = pd.DataFrame(responses).pivot(index="item", columns="head_set", values="text")
    assert (said["unmasked"] != said["top-5"]).any()


def test_the_source_of_the_items_is_written_down(asked):
    source = json.loads((asked.folder / "results/tasks/mmlu/source.json").read_text())
    assert source["items"] == 5
    assert source["source"] == {"kind": "path", "path": str(ITEMS / "mmlu"), "split": "test"}


def test_a_finished_item_is_never_asked_again(asked):
    """As after a kill: the declared outputs are gone, one item is missing, the others are there."""
    folder = asked.folder / "results/organism/downstream/mmlu/cot"
    before = lines(folder / "responses.jsonl")
    (folder / "responses.jsonl").unlink()
    (folder / "answers" / f"{before[0]['item']}.json").unlink()
    run = asked.snakemake(str((folder / "responses.jsonl").relative_to(asked.folder)))
    assert run.returncode == 0, run.stdout
    assert (
        "3 of 4 items are done already" in (asked.folder / "logs/organism/generate_responses_mmlu_cot.log").read_text()
    )
    assert lines(folder / "responses.jsonl") == before


def test_edited_scoring_code_scores_the_kept_answers_again_and_asks_nothing(asked):
    verdicts = asked.folder / "results/organism/downstream/extract_qa/direct/verdicts.tsv"
    responses, target = verdicts.with_name("responses.jsonl"), str(verdicts.relative_to(asked.folder))
    before, written = verdicts.read_bytes(), responses.stat().st_mtime_ns
    for module in ("downstream/scoring", "downstream/tasks/spans"):
        code = asked.root / f"src/retrieval_heads/{module}.py"
        text = code.read_text(encoding="utf-8")
        code.write_text(text + "\nCHANGED = 1\n", encoding="utf-8")
        assert asked.planned(REPORT) == {"score_responses": len(FORMS), "summarize_downstream": 1}, module
        code.write_text(text, encoding="utf-8")
    code.write_text(text + "\nCHANGED = 1\n", encoding="utf-8")
    run = asked.snakemake(target)
    assert run.returncode == 0, run.stdout
    assert asked.planned(target) == {}
    assert (verdicts.read_bytes(), responses.stat().st_mtime_ns) == (before, written)


def test_a_bad_part_stops_before_any_job(tmp_path):
    fresh = Study(tmp_path)
    fresh.write({**CONFIG, "downstream": {**CONFIG["downstream"], "sizes": [3]}})
    run = fresh.snakemake("-n", REPORT)
    assert run.returncode != 0
    assert "downstream.sizes: 3 is not among head_sets.sizes; add it there" in run.stdout
