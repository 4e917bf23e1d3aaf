"""One command for a card: is everything right on it, and how fast is it? Prints one table, writing it as it goes.

    python benchmarks/card.py                       one card of 80 GB, at most 8 minutes
    python benchmarks/card.py --small --device cpu  every step with small shapes

A step that fails is a row that says so, and the next one goes on; steps for which no time is left are named. Beside
torch and transformers only numpy and pandas are needed, no Snakemake.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

COLUMNS = ("step", "case", "found", "wanted", "verdict", "seconds")
# (case, found, wanted, whether it is as wanted; None where nothing is wanted)
Row = tuple[str, str, str, bool | None]


class Table:
    """Rows as they come, on the screen and in a file."""

    def __init__(self, path: Path, minutes: float):
        self.path, self.deadline = path, time.monotonic() + 60 * minutes
        self.failed = 0
        path.write_text("", encoding="utf-8")
        for cells in (COLUMNS, ["---"] * len(COLUMNS)):
            self._write(cells)

    def step(self, name: str, rows: Callable[[], Iterator[Row]]) -> None:
        """Run one step: a row for each case. An error is a row too."""
        if time.monotonic() > self.deadline:
            self._write((name, "", "left out: no time is left", "", "", ""))
            return
        started = time.monotonic()
        try:
            for case, found, wanted, right in rows():
                verdict = {True: "ok", False: "NOT OK", None: ""}[right]
                self.failed += right is False
                self._write((name, case, found, wanted, verdict, f"{time.monotonic() - started:.1f}"))
                started = time.monotonic()
        except Exception as error:
            self.failed += 1
            told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            self._write((name, "", told.replace("|", "/"), "", "FAILED", f"{time.monotonic() - started:.1f}"))
            traceback.print_exc()

    def _write(self, cells) -> None:
        line = f"| {' | '.join(cells)} |"
        print(line, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small shapes, for a try on a CPU")
    parser.add_argument("--device", help="cuda where there is a card, else cpu")
    parser.add_argument("--minutes", type=float, default=7.0, help="after so many no further step is begun")
    parser.add_argument("--write", type=Path, default=Path("card.md"), help="the file of the table")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run all steps; the exit code is 1 when one was not as wanted."""
    args = arguments()
    if args.job:
        # Before torch is imported: cards must be claimed before CUDA can start.
        sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
        from retrieval_heads.running.gpu_locks import claim_cards

        claim_cards(1, args.job)
    import card_checks as checks
    import card_jobs as jobs
    import card_masks
    import card_speed as speed

    device = args.device or checks.default_device()
    if args.job:
        print(jobs.short_job(device))
        return 0
    table = Table(args.write, args.minutes)
    table.step("machine", lambda: checks.machine(device))
    table.step("heads", lambda: checks.same_heads(device, args.small))
    table.step("masks", lambda: card_masks.masks(device))
    table.step("memory runs out", lambda: jobs.halved(device))
    table.step("two jobs at once", lambda: jobs.two_jobs(device, args))
    table.step("speed", lambda: speed.rows(device, args.small))
    return int(table.failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
