"""What is recorded of a run, and that nothing private goes with it."""

from __future__ import annotations

import getpass
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from retrieval_heads.running.provenance import cuda, git_state, machine, packages
from retrieval_heads.running.redaction import PrivacyError, check, cleared, folders, scrub, secrets


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path):
    """A repository with one commit, and a remote whose address holds a password."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "Snakefile").write_text("rule all:\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "First")
    git(tmp_path, "remote", "add", "origin", "https://ann:password@example.org/clone.git")
    return tmp_path


def test_packages_carry_version_and_licence():
    found = packages()
    assert found["numpy"]["version"] == numpy.__version__
    assert "BSD" in found["numpy"]["licence"]
    assert found["snakemake"]["licence"] == "MIT"
    assert all(len(package["licence"]) <= 200 for package in found.values())


def test_a_machine_is_described_without_its_name_its_user_and_its_folders():
    described = machine()
    assert described["python"] == sys.version.split()[0]
    # Packages are public; everything else is searched.
    text = json.dumps({**described, "packages": {}})
    for private in (socket.gethostname(), getpass.getuser(), str(Path.home()), sys.prefix):
        assert not re.search(rf"(?<!\w){re.escape(private)}(?!\w)", text)


def test_cuda_is_asked_only_where_torch_is_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert cuda() == {}


def test_cuda_of_the_loaded_torch():
    torch = pytest.importorskip("torch")
    found = cuda()
    assert found["cuda"] == torch.version.cuda
    assert len(found["gpus"]) == torch.cuda.device_count()
    assert (found["driver"] is not None) >= bool(found["gpus"])


def test_the_state_of_a_clone(clone):
    clean = git_state(clone)
    assert re.fullmatch("[0-9a-f]{40}", clean["commit"])
    assert (clean["dirty"], clean["changed"], clean["untracked"]) == (False, [], 0)
    (clone / "Snakefile").write_text("rule none:\n")
    (clone / "my.yaml").write_text("models:\n")
    edited = git_state(clone)
    assert edited["commit"] == clean["commit"]
    assert (edited["dirty"], edited["changed"], edited["untracked"]) == (True, ["Snakefile"], 1)
    assert "password" not in json.dumps(edited)


def test_a_folder_that_is_no_clone_has_no_commit(clone, tmp_path_factory):
    (clone / "unpacked").mkdir()
    assert git_state(clone / "unpacked") == {"commit": None}, "the commit of the repository around it is not its own"
    assert git_state(tmp_path_factory.mktemp("plain")) == {"commit": None}


def test_folders_of_the_machine_are_replaced_and_nothing_else(tmp_path):
    repository, study, texts = tmp_path / "ann/clone", tmp_path / "study", tmp_path / "ann/texts"
    for folder in (repository, study, texts):
        folder.mkdir(parents=True)
    known = folders(repository, study, [texts])
    text = f"{repository}/Snakefile ../ann/clone/workflow {study}/results {texts}/a.txt {tmp_path}/ann/clone2 {study}"
    assert scrub(text, known) == f"./Snakefile ./workflow ./results texts/a.txt {tmp_path}/ann/clone2 ."
    check("page", scrub(text, known).encode(), known)
    with pytest.raises(PrivacyError, match="page names a folder of this machine"):
        check("page", text.encode(), known)


def test_pages_and_notebooks_are_scrubbed_and_tables_are_refused(tmp_path):
    known = folders(tmp_path, tmp_path)
    assert cleared("a.ipynb", f'"{tmp_path}/a"'.encode(), known) == b'"./a"'
    table = tmp_path / "a.tsv"
    table.write_text(f"path\n{tmp_path}/a\n")
    with pytest.raises(PrivacyError, match=r"a\.tsv"):
        cleared("a.tsv", table, known)


@pytest.mark.parametrize("token", ["hf_" + "a1B2" * 10, "ghp_" + "a1B2" * 10])
def test_a_token_of_any_origin_is_refused_and_not_repeated(token):
    with pytest.raises(PrivacyError) as refused:
        check("log", f"Bearer {token} ".encode(), {})
    assert token not in str(refused.value)


def test_the_values_of_the_environments_secrets_are_refused(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "not-of-any-known-form")
    with pytest.raises(PrivacyError, match="log holds a token"):
        check("log", b"Authorization: not-of-any-known-form", {})
    assert secrets({"TOKENIZERS_PARALLELISM": "false", "MY_API_KEY": "0123456789"}) == [b"0123456789"]
