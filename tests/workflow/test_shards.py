"""One job a needle, and the table of decode steps."""

from __future__ import annotations

import pandas as pd

from outputs_page import faults
from studies import SMALL, Study

TARGET = "results/phantom/detection/cells.tsv"


def test_shards_fill_the_cells_and_the_last_job_computes_none(tmp_path):
    study = Study(tmp_path)
    study.write(
        {
            **SMALL,
            "models": {"phantom": {"shards": True}},
            "detection": {"lengths": [256], "depths": [0, 100], "steps": True},
        }
    )
    planned = study.planned(TARGET)
    assert (planned["detect_heads_shard"], planned["detect_heads"]) == (3, 1)
    run = study.snakemake(TARGET)
    assert run.returncode == 0, run.stdout
    logs = tmp_path / "logs/phantom"
    for needle in ("kite", "soup", "password"):
        assert "0 of 2 cells are done already" in (logs / f"detect_heads_shard_detection_{needle}.log").read_text()
    assert "6 of 6 cells are done already" in (logs / "detect_heads_detection.log").read_text()
    cells = pd.read_csv(tmp_path / TARGET, sep="\t")
    assert set(cells["needle"]) == {"kite", "soup", "password"}
    steps = pd.read_csv(tmp_path / "results/phantom/detection/steps.tsv.gz", sep="\t")
    assert faults(tmp_path) == []
    hits = steps[steps["hit"]]
    assert set(hits["target_class"]) == {"needle"}
    # A copying head's score is its hits over the tokens of the answer: the table of steps must add up to it.
    scores = pd.read_csv(tmp_path / "results/phantom/detection/scores.tsv.gz", sep="\t")
    per_head = ["needle", "length", "depth", "layer", "head"]
    answers = (cells.set_index(per_head[:3])["answer_end"] - cells.set_index(per_head[:3])["answer_start"]).rename("n")
    counted = hits.groupby(per_head).size().rename("hits")
    joined = scores.join(counted, on=per_head).fillna({"hits": 0}).join(answers, on=per_head[:3])
    assert (joined["hits"] / joined["n"] - joined["copy_count"]).abs().max() < 1e-5
