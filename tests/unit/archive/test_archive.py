"""An archive is written with every hash, and any change to it is found."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest

from retrieval_heads.archive.check import METADATA, ArchiveError, check, sha256, unpack
from retrieval_heads.archive.crate import Run, write
from retrieval_heads.archive.inputs import PATHS, WEIGHTS, code_files, portable, result_files
from retrieval_heads.archive.provenance_tables import drawn, machines

ROOT = Path(__file__).parents[3]
RUN = Run("test", "A test", "2024-01-01T00:00:00+00:00", "unknown", "9.0")


@pytest.fixture
def archive(tmp_path):
    """An archive of four files, one with a name that an address cannot hold."""
    table = tmp_path / "table.tsv"
    table.write_text("layer\thead\n")
    files = {"Snakefile": b"rule all:\n", "config.yaml": b"a: 1\n", "inputs/ein Text ü.txt": b"Text\n"}
    path = tmp_path / "test.zip"
    write(path, {**files, "results/table.tsv": table}, RUN, ["config.yaml"], ["results/table.tsv"])
    return path


def rewritten(archive: Path, change) -> Path:
    """A copy in which `change(name, content)` decides each file; None leaves it out."""
    copy = archive.with_name("copy.zip")
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return copy


def test_every_file_is_listed_with_its_hash(archive):
    known = check(archive)
    assert set(known) == {"Snakefile", "config.yaml", "inputs/ein Text ü.txt", "results/table.tsv"}
    assert known["config.yaml"] == sha256(b"a: 1\n")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda name, content: content + b" " if name == "config.yaml" else content, "config.yaml is changed"),
        (lambda name, content: None if name == "config.yaml" else content, "config.yaml is missing"),
        (lambda name, content: None if name == METADATA else content, "cannot be read as an archive"),
    ],
)
def test_what_was_done_to_an_archive_is_said(archive, change, fault):
    with pytest.raises(ArchiveError, match=fault):
        check(rewritten(archive, change))


def test_a_file_that_nobody_vouches_for_is_a_fault(archive):
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("workflow/extra.py", "")
    with pytest.raises(ArchiveError, match=r"workflow/extra\.py is not in the metadata"):
        check(archive)


def test_something_else_is_no_archive(tmp_path):
    (tmp_path / "a.zip").write_text("text")
    with pytest.raises(ArchiveError, match="cannot be read as an archive"):
        check(tmp_path / "a.zip")


def test_unpacked_results_are_younger_than_all_else(archive, tmp_path):
    unpack(archive, tmp_path / "study", check(archive))
    made, result = (tmp_path / "study" / name for name in ("Snakefile", "results/table.tsv"))
    assert made.stat().st_mtime < result.stat().st_mtime
    assert (tmp_path / "study/inputs/ein Text ü.txt").read_text() == "Text\n"


def test_the_code_is_whole_and_holds_no_weights():
    names = code_files(ROOT)
    assert {"Snakefile", "LICENSE", "CITATION.cff", "workflow/rules/archive.smk", "envs/tables.yaml"} <= set(names)
    assert not [name for name in names if Path(name).suffix in WEIGHTS or "__pycache__" in name]


def test_inputs_from_elsewhere_come_along_and_others_stay(tmp_path):
    """What a config names outside the repository moves into the archive; the config says where it lies there."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/one.txt").write_text("One.")
    (tmp_path / "texts/notes.md").write_text("mine")
    shutil.copytree(ROOT / "resources/models/organism", tmp_path / "checkpoint")
    (tmp_path / "scores").mkdir()
    for name in ("given.json", "given.meta.json", "other.json"):
        (tmp_path / "scores" / name).write_text("{}")
    config = {
        "haystacks": {"folder": str(tmp_path / "texts")},
        "needles": "resources/needles.tsv",
        "models": {
            "mine": {"path": str(tmp_path / "checkpoint")},
            "organism": {"path": "./resources/models/organism"},
            "phantom": {"path": "results/models/phantom"},
            "hub": {"hub": "owner/name", "revision": "main"},
            "file": {"gguf": str(tmp_path / "model.gguf")},
            "hub-file": {"hub": "owner/name", "revision": "main", "gguf": "model.gguf"},
        },
        "head_scores": {"folder": str(tmp_path / "scores"), "models": {"given": {"file": "given.json"}}},
    }
    changed, files = portable(config, lambda path: ROOT / path, ROOT)
    assert str(tmp_path) not in str(changed)
    assert changed["needles"] == "resources/needles.tsv"
    assert changed["models"]["organism"]["path"] == "resources/models/organism"
    assert changed["models"]["phantom"] == config["models"]["phantom"]
    assert changed["models"]["hub"] == config["models"]["hub"]
    assert changed["models"]["file"]["gguf"] == "inputs/models.file.gguf.gguf", "weights stay behind"
    assert changed["models"]["hub-file"] == config["models"]["hub-file"]
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in files.items()} == {
        "inputs/haystacks.folder/one.txt": "texts/one.txt",
        "inputs/models.mine.path/config.json": "checkpoint/config.json",
        "inputs/head_scores.models.given.file.json": "scores/given.json",
        "inputs/head_scores.models.given.file.meta.json": "scores/given.meta.json",
    }
    scores = changed["head_scores"]
    assert Path(scores["folder"], scores["models"]["given"]["file"]).as_posix() in files
    assert config["haystacks"]["folder"] == str(tmp_path / "texts"), "the caller's config is left alone"


def test_every_key_that_holds_a_path_is_known():
    rows = re.findall(r"^\| `([^`]+)` \| (?:folder|file) \|", (ROOT / "config/README.md").read_text(), flags=re.M)
    documented = {key.replace("<name>", "*") for key in rows}
    # Joined to the files that it holds, one by one.
    assert documented - {"head_scores.folder"} == set(PATHS)


def test_a_graph_is_drawn_without_a_system_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert b"<svg" in drawn('digraph snakemake_dag {0[label="all"]; 1[label="merge"]; 1 -> 0}')


def test_machines_are_counted_in_tables_of_both_kinds(tmp_path):
    (tmp_path / "machine_ab.json").write_text('{"python": "3.11", "packages": {}}')
    (tmp_path / "cells.tsv").write_text("needle\tmachine\nkite\tab\nsoup\tab\n")
    (tmp_path / "responses.jsonl").write_text('{"item": 1, "machine": "ab"}\n')
    (tmp_path / "ranking.tsv").write_text("layer\thead\n0\t1\n")
    found, rows = machines(sorted(tmp_path.glob("[cr]*")))
    assert set(found) == {"archive", "ab"}
    assert rows["rows"].to_list() == [2, 1]


def test_whole_datasets_and_checkpoints_stay_at_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [
        "results/tasks/mmlu/all.jsonl",
        "results/models/a/config.json",
        "results/a/haystacks.npz",
        "results/a/t.tsv",
    ]
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert list(result_files([*names, "results/missing.tsv", "results/a"])) == ["results/a/t.tsv"]
    names.append("results/a/detection/shards/kite.cells.tsv")
