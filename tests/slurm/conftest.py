"""A fresh clone, a study run in it on the conda route, and a Slurm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fresh_clone import ROOT, clone_into
from slurm.cluster import Cluster, why_not

SMALL = {
    "models": {
        "organism": {"path": "resources/models/organism", "dtype": "float32"},
        "twin": {"path": "resources/models/organism", "dtype": "float32"},
    },
    "detection": {"lengths": [256, 448], "depths": [0, 25, 50, 75, 100]},
    "masked": {"lengths": [256, 448], "depths": [0, 25, 50, 75, 100]},
    "head_sets": {"sizes": [2, 5], "random_draws": 3},
}


class Clone:
    """A fresh clone with a small grid in its config, and commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        clone_into(folder, SMALL)

    def give_cards(self, model: str, cards: int) -> None:
        """Set `models.<model>.gpus`, which a machine without so many cards refuses."""
        path = self.folder / "config/config.yaml"
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        config["models"][model]["gpus"] = cards
        path.write_text(yaml.safe_dump(config), encoding="utf-8")

    def command(self, line: str) -> subprocess.Popen:
        """Start a command line in the clone; the stand-in for conda is on its PATH."""
        path = f"{ROOT / 'tests/stand_in_conda/bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(line.split(), cwd=self.folder, env={**os.environ, "PATH": path}, **options)

    def run(self, line: str) -> str:
        """Run a command line to its end; its output. Raises AssertionError with the output when it fails."""
        process = self.command(line)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Clone:
    """The clone after the literal command of the conda route."""
    made = Clone(tmp_path_factory.mktemp("clone"))
    made.first_run = made.run("snakemake --cores 8 --use-conda")
    return made


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A running Slurm; every process of it is stopped in the end."""
    if reason := why_not():
        pytest.skip(reason)
    started = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        started.start()
        yield started
    finally:
        started.stop()
