"""A study on an idle machine, and beside one busy process for each core: how much longer does it take?

    python benchmarks/beside_others.py                                   config/offline.yaml
    python benchmarks/beside_others.py --configfile config/config.yaml   the default study, downloads included

Beside the others half of each core is left: twice the time is to be expected. Each run has a folder of its own, which
is deleted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


def work() -> None:
    """Keep a core busy until it is ended, or the process that began it is gone."""
    parent = os.getppid()
    while os.getppid() == parent:
        sum(range(10**6))


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many busy processes while the block runs."""
    running = [multiprocessing.Process(target=work, daemon=True) for _ in range(processes)]
    for process in running:
        process.start()
    try:
        yield
    finally:
        for process in running:
            process.terminate()
            process.join()


def study_seconds(configfile: Path, cores: int) -> float:
    """Wall seconds of a whole study in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", folder]
        started = time.monotonic()
        subprocess.run(
            [*command, "--configfile", str(configfile.resolve()), "--cores", str(cores), "--quiet", "all"], check=True
        )
        return time.monotonic() - started


def main() -> None:
    """Run the study twice and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, default=ROOT / "config/offline.yaml")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    args = parser.parse_args()
    print("| busy processes | seconds | ratio |\n|---|---|---|", flush=True)
    idle = study_seconds(args.configfile, args.cores)
    print(f"| 0 | {idle:.0f} | 1 |", flush=True)
    with busy(args.cores):
        beside = study_seconds(args.configfile, args.cores)
    print(f"| {args.cores} | {beside:.0f} | {beside / idle:.2f} |")


if __name__ == "__main__":
    main()
