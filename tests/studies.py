"""Small studies: Snakemake run in a folder of its own, on one core, since two workers run side by side."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SMALL = {
    "detection": {"lengths": [256, 448], "depths": [0, 50, 100]},
    "masked": {"lengths": [256], "depths": [0, 50, 100]},
    "head_sets": {"sizes": [2, 5], "random_draws": 2},
}
# In the environment of every run, and in the `.env` of every study: no log, result or archive may hold them.
HF_TOKEN = "hf_" + "neverToBeSeen" * 3
DOTENV_TOKEN = "hf_" + "norThisOne" * 4


class Study:
    """A working directory with a config, and Snakemake run in it on the Snakefile of the project, or of a clone.

    The config lies over the study without a network.
    """

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        self.folder, self.root = folder, root
        self.config = folder / "small.yaml"
        self.write(SMALL)
        (folder / ".env").write_text(f"HF_TOKEN={DOTENV_TOKEN}\n", encoding="utf-8")

    def write(self, config: dict) -> None:
        """Replace the config that is laid over the study without a network."""
        self.config.write_text(yaml.safe_dump(config), encoding="utf-8")

    def snakemake(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        """Run Snakemake with environment variables; stdout and stderr come back together."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.root / "Snakefile")]
        offline = self.root / "config/offline.yaml"
        command += ["--configfile", str(offline), str(self.config)]
        command += ["--directory", str(self.folder), "--cores", "1", *arguments]
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


def unzipped(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file, with what is packed unpacked."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            name = path.relative_to(folder).as_posix()
            yield name, gzip.decompress(content) if path.suffix == ".gz" else content
