"""A study killed in the middle of a job goes on at the first missing cell."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

from studies import ROOT, SMALL, Study

TARGET = "results/phantom/detection/cells.tsv"


def finished(study: Study) -> dict[str, int]:
    """Finished cells, and when each was written (nanoseconds)."""
    cells = (study.folder / "results/phantom/detection/cells").glob("*.json")
    return {path.name: path.stat().st_mtime_ns for path in cells}


def test_sigkill_in_the_middle_of_detection(study, tmp_path):
    killed = Study(tmp_path)
    for part in ("results", ".snakemake"):
        shutil.copytree(study.folder / part, tmp_path / part, copy_function=shutil.copy2)
    before = finished(killed)
    more = {"lengths": [256, 448, 640, 1024], "depths": [0, 25, 50, 75, 100]}
    killed.write({**SMALL, "detection": more})
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += [
        "--configfile",
        str(ROOT / "config/offline.yaml"),
        str(killed.config),
        "--directory",
        str(tmp_path),
        "--cores",
        "1",
        TARGET,
    ]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while len(finished(killed)) < len(before) + 3 and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.02)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    kept = finished(killed)
    assert len(before) + 3 <= len(kept) < 60, "killed too late or too early to show anything"
    assert not (tmp_path / TARGET).exists()
    assert killed.snakemake("--unlock").returncode == 0
    again = killed.snakemake("--rerun-incomplete", TARGET)
    assert again.returncode == 0, again.stdout
    assert (
        f"{len(kept)} of 60 cells are done already"
        in (tmp_path / "logs/phantom/detect_heads_detection.log").read_text()
    )
    assert {name: written for name, written in finished(killed).items() if name in kept} == kept
