"""Where a result comes from: packages with their licences, CUDA, driver, GPU names, commit.

Nothing here names a person, a computer or a folder, so a record may leave the machine.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path


def packages() -> dict[str, dict[str, str]]:
    """Name -> version and licence of every package that this interpreter can import; the first on its path wins."""
    found: dict[str, dict[str, str]] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(
                name.lower(), {"version": distribution.version, "licence": _licence(distribution.metadata)}
            )
    return dict(sorted(found.items()))


def _licence(fields: metadata.PackageMetadata) -> str:
    """SPDX expression, else trove classifiers, else the first line of the free text; packages use one of the three."""
    if fields.get("License-Expression"):
        return fields["License-Expression"]
    classifiers = [line for line in fields.get_all("Classifier", []) if line.startswith("License ::")]
    named = [line.rsplit("::", 1)[1].strip() for line in classifiers if line.count("::") > 1]
    text = (fields.get("License") or "").strip()
    return "; ".join(named) or (text.splitlines()[0][:80] if text else "not stated")


def cuda() -> dict:
    """CUDA and cuDNN that torch was built with, the driver, and the GPUs that this process may use.

    Only a process that has loaded torch can use a GPU, so nothing is loaded to find out.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    return {"cuda": torch.version.cuda, "cudnn": cudnn, "driver": _driver(), "gpus": names}


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return lines[0] if lines else None


def machine() -> dict:
    """What this job runs on; `cell_store` keeps one record of each machine beside the cells that it computed."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **cuda(),
        "packages": packages(),
    }


def git_state(folder: Path) -> dict:
    """State of the clone in `folder`: commit, changed (tracked files that differ), untracked (their number), dirty.

    commit is None where `folder` is no clone. The address of the remote is left out: it may hold a name or a token.
    """
    try:
        top, commit = _git(folder, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        lines = _git(folder, "status", "--porcelain", "--untracked-files=all").splitlines()
    except (OSError, subprocess.SubprocessError):
        return {"commit": None}
    if Path(top).resolve() != Path(folder).resolve():
        return {"commit": None}
    changed = [line[3:] for line in lines if not line.startswith("??")]
    return {"commit": commit, "changed": changed, "untracked": len(lines) - len(changed), "dirty": bool(lines)}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
