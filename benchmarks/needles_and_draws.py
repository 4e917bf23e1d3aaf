"""How many needles, and how many draws of random heads, does a claim need? A simulation of masked runs, on a CPU.

    python benchmarks/needles_and_draws.py [--runs 1000]

Needles differ: each has a success of its own, and under a mask a change of its own (normal on the logit scale,
standard deviation 1 each); its 30 cells pass with that chance. Random head sets differ likewise, with 0.5. The
statistics are the functions that make the study's tables. Two tables, shares in percent of the runs:

  needles  how often 95 % intervals hold the true success, percentile bootstrap as it is and stretched to the number of
           needles; how often p <= 0.05 where masking changes nothing on average, by McNemar and Wilcoxon, which count
           cells, and by flipping the signs of needles; how often the flips, corrected over 7 sizes of top and 7 of
           random sets, find a loss of 30 points and of 60 points
  draws    the smallest p of the place among so many draws, alone and times 7 sizes; how often it is <= 0.05 where the
           top set costs 30 points and a random one nothing on average
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import wilcoxon

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
from retrieval_heads.downstream.paired_tests import mcnemar
from retrieval_heads.head_scores.intervals import LEVEL, bootstrap_weights, interval
from retrieval_heads.masking_analysis.needle_tests import flip_tests, least, reachable
from retrieval_heads.rounding import settled

NEEDLES, DRAWS = (1, 2, 3, 5, 6, 8, 10, 15, 20), (1, 5, 10, 19, 39, 99, 139, 199)
CELLS, SIZES, RESAMPLES, UNMASKED = 30, 7, 400, 1.0
BETWEEN_NEEDLES, BETWEEN_SETS = 1.0, 0.5


def change_for(points: float, generator: np.random.Generator) -> float:
    """The mean change of the logit under which success falls by so many points on average."""
    plain, own = UNMASKED + generator.normal(size=100_000), generator.normal(size=100_000)
    changes = np.linspace(-8, 1, 181)
    lost = [100 * (expit(plain) - expit(plain + change + own)).mean() for change in changes]
    return float(np.interp(-points, np.negative(lost), changes))


def cells(logits: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """[needles] -> bool [needles * CELLS], the cells of a needle one after the other."""
    return generator.random(len(logits) * CELLS) < np.repeat(expit(logits), CELLS)


def per_needle(changes: np.ndarray) -> np.ndarray:
    """[cells, rows] -> sums [needles, rows]."""
    return changes.reshape(-1, CELLS, changes.shape[1]).sum(1)


def one_study(needles: int, change: dict[int, float], truth: float, generator: np.random.Generator) -> dict[str, bool]:
    """What the statistics say of one simulated study."""
    logits = UNMASKED + BETWEEN_NEEDLES * generator.normal(size=needles)
    plain = cells(logits, generator)
    names = pd.Series(np.repeat(np.arange(needles), CELLS).astype(str))
    resampled = bootstrap_weights(names, RESAMPLES, int(generator.integers(2**32))) @ plain
    low, high = np.percentile(resampled, (2.5, 97.5))
    wide = interval(plain.mean(), resampled, needles, (0, 1))
    masked = {loss: logits + by + BETWEEN_NEEDLES * generator.normal(size=needles) for loss, by in change.items()}
    same = cells(masked[0], generator)
    gained = same.astype(float) - plain
    p, _ = flip_tests(per_needle(gained[:, None]))
    found = {
        "percentile holds": low <= truth <= high,
        "stretched holds": wide[0] <= truth <= wide[1],
        "false: McNemar": mcnemar(pd.Series(plain), pd.Series(same)) <= LEVEL,
        "false: Wilcoxon": bool(gained.any()) and wilcoxon(gained[gained != 0]).pvalue <= LEVEL,
        "false: flips": reachable(p[0], least(needles)) <= LEVEL,
    }
    for loss in (30, 60):
        sets = [cells(masked[loss], generator) for _ in range(SIZES)] + [cells(logits, generator) for _ in range(SIZES)]
        _, corrected = flip_tests(per_needle(np.array(sets, float).T - plain[:, None]))
        found[f"found: {loss} points"] = reachable(corrected[0], least(needles)) <= LEVEL
    return found


def by_needles(runs: int, generator: np.random.Generator) -> pd.DataFrame:
    """One row a number of needles."""
    truth = float(expit(UNMASKED + BETWEEN_NEEDLES * generator.normal(size=1_000_000)).mean())
    change = {loss: change_for(loss, generator) for loss in (0, 30, 60)}
    rows = []
    for needles in NEEDLES:
        found = pd.DataFrame([one_study(needles, change, truth, generator) for _ in range(runs)])
        rows.append(
            {"needles": needles, "smallest p": f"{least(needles):.2g}", **(100 * found.mean()).round().astype(int)}
        )
    return pd.DataFrame(rows)


def by_draws(runs: int, generator: np.random.Generator, needles: int = 10) -> pd.DataFrame:
    """One row a number of draws."""
    change = change_for(30, generator)
    rows = []
    for draws in DRAWS:
        p = []
        for _ in range(runs):
            logits = UNMASKED + BETWEEN_NEEDLES * generator.normal(size=needles)
            top = cells(logits + change + BETWEEN_NEEDLES * generator.normal(size=needles), generator).mean()
            sets = BETWEEN_SETS * generator.normal(size=draws)
            random = np.array([cells(logits + one, generator).mean() for one in sets])
            p.append((1 + (random <= top).sum()) / (1 + draws))
        smallest = 1 / (1 + draws)
        row = {
            "draws": draws,
            "smallest p": f"{smallest:.3f}",
            f"times {SIZES} sizes": f"{min(1, SIZES * smallest):.3f}",
        }
        row["found: alone"] = round(100 * np.mean(settled(p) <= LEVEL))
        row["found: corrected"] = round(100 * np.mean(settled(SIZES * np.array(p)) <= LEVEL))
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="simulated studies a row")
    runs, generator = parser.parse_args().runs, np.random.default_rng(0)
    for table in (by_needles(runs, generator), by_draws(runs, generator)):
        for row in (table.columns, ["---"] * table.shape[1], *table.astype(str).to_numpy()):
            print(f"| {' | '.join(row)} |")
        print()


if __name__ == "__main__":
    main()
