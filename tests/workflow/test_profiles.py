"""Profiles: every GPU rule asks for an 80 GB card, and another executor plans the same jobs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fresh_clone import ROOT, clone_into

PROFILES = ("slurm", "profiles/kubernetes")


def gpu_rules() -> set[str]:
    """Rules whose resources name cards."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk"))
    blocks = re.split(r"^(?:use )?rule ", text, flags=re.M)[1:]
    named = {re.match(r"(?:\w+ as )?(\w+)", block)[1]: block for block in blocks}
    own = {name for name, block in named.items() if re.search(r"^        gpu=", block, flags=re.M)}
    return own | {name for parent, name in re.findall(r"^use rule (\w+) as (\w+)", text, flags=re.M) if parent in own}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_gpu_rule_asks_for_a_large_card(profile):
    settings = yaml.safe_load((ROOT / profile / "config.yaml").read_text(encoding="utf-8"))
    assert gpu_rules() == set(settings["set-resources"]) == set(settings["set-threads"])
    assert len({str(card) for card in settings["set-resources"].values()}) == 1
    assert settings["retries"] == 2


def stats(folder: Path, *arguments: str) -> str:
    """The table of jobs that a dry run prints."""
    path = f"{ROOT / 'tests/stand_in_conda/bin'}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "snakemake", "-n", *arguments, "all_figures"]
    run = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout.split("Job stats:")[1].split("\n\n")[0]


@pytest.mark.parametrize("arguments", [["--profile", "slurm"], ["--cores", "1", "--use-conda"]])
def test_without_conda_one_sentence_says_what_is_missing(tmp_path, arguments):
    """A path that holds this Python and the tools of a plain system only; no conda of this machine."""
    clone_into(tmp_path, {})
    path = os.pathsep.join(
        [
            str(Path(sys.executable).parent),
            *(part for part in ("/usr/bin", "/bin") if not (Path(part) / "conda").exists()),
        ]
    )
    command = [sys.executable, "-m", "snakemake", "-n", *arguments, "all_figures"]
    environment = {name: value for name, value in os.environ.items() if "conda" not in name.lower()} | {"PATH": path}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode != 0 and "conda info" not in run.stdout + run.stderr
    said = run.stdout + run.stderr
    assert "no `conda` is on the path" in said and "Traceback" not in said
    assert "take the line 'software-deployment-method: conda' out of slurm/config.yaml" in said
    assert "software-deployment-method: conda\n" in (ROOT / "slurm/config.yaml").read_text(encoding="utf-8")


def test_every_executor_plans_the_same_jobs(tmp_path):
    """The volume of the pods is the clone itself here, so that its inputs are found; no cluster is asked."""
    clone_into(tmp_path, {})
    local = stats(tmp_path, "--cores", "1")
    assert stats(tmp_path, "--profile", "slurm") == local
    pods = stats(tmp_path, "--profile", "profiles/kubernetes", "--default-storage-prefix", str(tmp_path))
    assert pods == local
