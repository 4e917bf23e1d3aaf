"""A small study, run once a worker in a folder of its own; one core a run, since two workers run side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SMALL = {
    "detection": {"lengths": [256, 448], "depths": [0, 50, 100]},
    "masked": {"lengths": [256], "depths": [0, 50, 100]},
    "head_sets": {"sizes": [2, 5], "random_draws": 2},
}
# In the environment of every run, and in the `.env` of every study: no log, result or archive may hold them.
HF_TOKEN = "hf_" + "neverToBeSeen" * 3
DOTENV_TOKEN = "hf_" + "norThisOne" * 4


class Study:
    """A working directory with a config, and Snakemake run in it on the project's Snakefile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "small.yaml"
        self.write(SMALL)
        (folder / ".env").write_text(f"HF_TOKEN={DOTENV_TOKEN}\n", encoding="utf-8")

    def write(self, config: dict) -> None:
        """Replace the config that is laid over the default."""
        self.config.write_text(yaml.safe_dump(config), encoding="utf-8")

    def snakemake(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        """Run Snakemake with environment variables; stdout and stderr come back together."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--configfile", str(self.config), "--directory", str(self.folder), "--cores", "1", *arguments]
        environment = {**os.environ, "HF_TOKEN": HF_TOKEN, **variables}
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment
        )

    def planned(self, *arguments: str) -> dict[str, int]:
        """Rule -> number of jobs that a dry run would start."""
        dry = self.snakemake("-n", *arguments)
        assert dry.returncode == 0, dry.stdout
        if "Job stats:" not in dry.stdout:
            return {}
        table = dry.stdout.split("Job stats:")[1].split("\n\n")[0].splitlines()[3:]
        jobs = {rule: int(count) for rule, count in (line.split() for line in table if line.strip())}
        return {rule: count for rule, count in jobs.items() if rule not in ("total", "all")}


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Study:
    """The finished study; its folder has a space in its name."""
    done = Study(tmp_path_factory.mktemp("a study"))
    run = done.snakemake()
    assert run.returncode == 0, run.stdout
    done.first_run = run.stdout
    return done
