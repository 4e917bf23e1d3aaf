"""Head sets from elsewhere are masked without detection, and leave as a checkpoint that loads anywhere."""

from __future__ import annotations

import json

import pandas as pd
import torch
from transformers import AutoModelForCausalLM

from studies import SMALL, Study

# Two heads that somebody else chose, and the same two in a set of their own.
THEIRS = {"theirs": [[2, 1], "5-3"], "one-of-them": ["5-3"]}


def test_given_head_sets_need_no_detection(tmp_path):
    fresh = Study(tmp_path)
    (tmp_path / "theirs.json").write_text(json.dumps(THEIRS), encoding="utf-8")
    models = {"phantom": None, "organism": {"head_sets": "theirs.json"}}
    fresh.write({**SMALL, "models": models, "masked": {**SMALL["masked"], "depths": [50], "needles": ["hobby"]}})
    targets = ["results/organism/masked/runs.tsv", "results/masked_checkpoints/organism/theirs"]
    jobs = fresh.planned(*targets)
    assert jobs == {
        "inspect_model": 1,
        "tokenize_haystacks": 1,
        "place_needles": 1,
        "import_head_sets": 1,
        "run_masked_niah": 1,
        "export_masked_model": 1,
    }
    run = fresh.snakemake(*targets)
    assert run.returncode == 0, run.stdout
    runs = pd.read_csv(tmp_path / targets[0], sep="\t")
    assert sorted(runs["head_set"]) == ["one-of-them", "theirs", "unmasked"]
    assert dict(zip(runs["head_set"], runs["k"], strict=True)) == {"unmasked": 0, "theirs": 2, "one-of-them": 1}
    model = AutoModelForCausalLM.from_pretrained(tmp_path / targets[1])
    size = model.config.head_dim
    empty = {
        (layer, head)
        for layer, block in enumerate(model.model.layers)
        for head, columns in enumerate(block.self_attn.o_proj.weight.split(size, dim=1))
        if not torch.any(columns)
    }
    assert empty == {(2, 1), (5, 3)}


def test_a_head_that_the_model_lacks_stops_the_study(tmp_path):
    fresh = Study(tmp_path)
    (tmp_path / "theirs.json").write_text(json.dumps({"theirs": [[80, 1]]}), encoding="utf-8")
    fresh.write({**SMALL, "models": {"phantom": None, "organism": {"head_sets": "theirs.json"}}})
    run = fresh.snakemake("results/organism/head_sets.json")
    assert run.returncode != 0
    assert "set 'theirs': head 80-1 does not exist in this model" in run.stdout


def test_a_file_of_head_sets_that_is_not_there_stops_before_any_job(tmp_path):
    fresh = Study(tmp_path)
    fresh.write({**SMALL, "models": {"organism": {"head_sets": "nowhere.json"}}})
    run = fresh.snakemake("-n")
    assert run.returncode != 0
    assert "models.organism.head_sets: there is no file 'nowhere.json'" in run.stdout
