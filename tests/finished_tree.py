"""A clone of the project with a finished study in it, whose files a test may edit, and what would run again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pandas as pd
import yaml

ORGANISM = {"path": "resources/models/organism", "dtype": "float32"}
SMALL = {
    "models": {"first": ORGANISM, "second": ORGANISM},
    "detection": {"needles": ["kite", "soup"], "lengths": [256], "depths": [0, 50, 100]},
    "masked": {"needles": ["hobby"], "lengths": [256], "depths": [0, 100]},
    "head_sets": {"sizes": [2], "random_draws": 1, "shown": 2},
}
CHAIN = (
    "download_model",
    "inspect_model",
    "tokenize_haystacks",
    "place_needles",
    "detect_heads",
    "aggregate_scores",
    "select_head_sets",
    "run_masked_niah",
    "trace_attention",
)
# What every case looks at: all that is measured, the tables drawn from it, and four of their figures.
FIGURES = ("head_scores", "masked_curve", "error_kinds", "copying_head")
STUDY = ["results/tables/claims.tsv", *(f"results/figures/{figure}.svg" for figure in FIGURES)]


class Tree:
    """A clone with a finished study in it, whose files a test may edit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before: dict[Path, str] = {}

    def edit(self, name: str, change) -> None:
        """Replace a file's text by `change(text)`."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        self.before.setdefault(path, text)
        path.write_text(change(text), encoding="utf-8")
        assert path.read_text(encoding="utf-8") != text

    def configure(self, change) -> None:
        """Replace the config by `change(config)`."""
        self.edit("config/config.yaml", lambda text: yaml.safe_dump(change(yaml.safe_load(text)), sort_keys=False))

    def restore(self) -> None:
        """Take all edits back."""
        for path, text in self.before.items():
            path.write_text(text, encoding="utf-8")
        self.before.clear()

    def snakemake(self, *arguments: str) -> str:
        """Run Snakemake in the tree; what it printed to stdout."""
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
        run = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def planned(self, targets: Sequence[str] = STUDY, options: Sequence[str] = ()) -> set[str]:
        """The jobs that a run would start: those of the chain by name, tables and figures as "drawing"."""
        summary = pd.read_csv(StringIO(self.snakemake("--summary", *targets, *options)), sep="\t")
        pending = summary[summary["plan"] == "update pending"]
        return {job_of(row.rule, Path(row.output_file)) for row in pending.itertuples()}

    def log(self, model: str) -> str:
        """The log of a model's detection."""
        return (self.folder / f"logs/{model}/detect_heads_detection.log").read_text(encoding="utf-8")


def job_of(rule: str, output: Path) -> str:
    """The job that makes a file: stage, experiment where a model has several, model."""
    if rule not in CHAIN:
        return "drawing"
    model = output.name.split(".")[0] if output.parts[1] in ("head_score", "models") else output.parts[1]
    return f"place_needles {output.parent.name} {model}" if rule == "place_needles" else f"{rule} {model}"
