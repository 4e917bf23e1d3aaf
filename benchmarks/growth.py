"""How CPU time and memory of the engine grow: with the length of a prompt, the number of cells, and that of head sets.

    python benchmarks/growth.py --model CHECKPOINT --chat --haystack TEXT

Every row is a process of its own (`benchmarks/engine.py`, way `reused`); its options are passed on. Exponent: slope of
a straight line through the logarithms of all rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ENGINE = Path(__file__).with_name("engine.py")
# Tokens of a prompt for what grows otherwise.
LENGTH = 1024


def measured(options: list[str], passed: list[str]) -> dict:
    """What `engine.py` says of one run."""
    command = [sys.executable, str(ENGINE), "--one", "reused", *options, *passed]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def grids(args: argparse.Namespace) -> dict[str, list[tuple[int, list[str]]]]:
    """Of what grows, its sizes and the options of each."""
    one = ["--lengths", str(LENGTH)]
    spread = {count: [str(round(100 * n / count)) for n in range(count)] for count in args.cells}
    return {
        "prompt tokens": [(n, ["--lengths", str(n), "--depths", "50"]) for n in args.lengths],
        "cells": [(n, [*one, "--depths", *depths]) for n, depths in spread.items()],
        "head sets": [(n, [*one, "--depths", "50", "--head-sets", str(n)]) for n in args.head_sets],
    }


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def main() -> None:
    """Measure all grids and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192])
    parser.add_argument("--cells", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--head-sets", type=int, nargs="+", default=[1, 4, 16, 64])
    args, passed = parser.parse_known_args()
    for what, grid in grids(args).items():
        print(f"\n| {what} | CPU seconds | tokens prefilled | peak, MiB |\n|---|---|---|---|", flush=True)
        found = []
        for size, options in grid:
            result = measured(options, passed)
            found.append(result)
            peak = result["memory"] / 2**20
            print(f"| {size} | {result['cpu']:.1f} | {result['prefilled']} | {peak:.0f} |", flush=True)
        sizes = [size for size, _ in grid]
        print(f"CPU seconds grow with the power {exponent(sizes, [result['cpu'] for result in found]):.2f}.")


if __name__ == "__main__":
    main()
