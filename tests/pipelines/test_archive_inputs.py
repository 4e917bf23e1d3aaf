"""What a config names outside the repository comes along in the archive, and its place does not."""

from __future__ import annotations

import shutil

import yaml

from retrieval_heads.archive.check import sha256
from studies import ROOT, Study, contents, unzipped


def test_inputs_from_elsewhere_come_along_without_their_place(study, tmp_path):
    """Texts and head scores under absolute paths; no model runs, because the scores are given."""
    texts = shutil.copytree(ROOT / "resources/haystacks", tmp_path / "private texts")
    scores = shutil.copytree(study.folder / "results/head_score", tmp_path / "private scores")
    (tmp_path / "given").mkdir()
    given = Study(tmp_path / "given")
    given.write(
        {
            "archive": "given",
            "models": {"phantom": None, "organism": None},
            "haystacks": {"folder": str(texts)},
            "head_scores": {"folder": str(scores), "models": {"organism": {"file": "organism.json", "format": "own"}}},
        }
    )
    run = given.snakemake("archive_study")
    assert run.returncode == 0, run.stdout
    crate = unzipped(given.folder / "results/archive/given.zip", tmp_path / "crate")
    for name, content in contents(crate):
        assert str(tmp_path).encode() not in content, name
    resolved = yaml.safe_load((crate / "config/config.yaml").read_text())
    assert (crate / resolved["haystacks"]["folder"] / "town.txt").read_bytes() == (texts / "town.txt").read_bytes()
    file = crate / resolved["head_scores"]["folder"] / resolved["head_scores"]["models"]["organism"]["file"]
    assert sha256(file) == sha256(scores / "organism.json")
    assert "detect_heads" not in (crate / "provenance/dag.dot").read_text()
