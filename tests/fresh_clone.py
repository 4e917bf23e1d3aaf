"""What a fresh clone of this tree would hold, so that tests may edit its files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def clone_into(folder: Path, config: dict) -> None:
    """Copy every file that git knows or does not ignore, with `config` over the study without a network as its config.

    config: `models` replaces the models of that study; of every other section single keys are replaced.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    merged = yaml.safe_load((folder / "config/offline.yaml").read_text(encoding="utf-8"))
    for key, part in config.items():
        merged[key] = part if key == "models" else {**merged[key], **part}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(merged), encoding="utf-8")
