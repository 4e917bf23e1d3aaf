"""Plan a study: what it will take and which of its jobs would run again, printed and written before anything is spent.

Outputs: the jobs that would run, by model and rule and why (retrieval_heads.running.reruns.rerun_table), and what the
GPU jobs take: one row per model and rule (cells, head_sets, longest_tokens, tokens and flop without and with reuse of
prefixes, memory_gb on one device, cards_80gb, hours at the stated rate as an upper bound, disk_gb, refused).
Formulas: docs/costs.md.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from retrieval_heads.costs.layers import CostError
from retrieval_heads.costs.plan import refusals, row
from retrieval_heads.costs.study import study_jobs
from retrieval_heads.running.logs import job_log
from retrieval_heads.running.reruns import in_words, rerun_table

SHOWN = {"flop": "{:.2e}", "flop_reused": "{:.2e}"}


def plan_study(settings: dict, output: str, logger) -> None:
    """Write and print the table; raises `CostError` when a job cannot run, naming the length that would."""
    jobs = study_jobs(settings["config"], settings["architectures"], settings["detected"])
    rate, bandwidth = settings["plan"]["teraflops"] * 1e12, settings["plan"]["gigabytes_per_second"] * 1e9
    rows = [row(job, rate, bandwidth) for job in jobs]
    if not rows:
        raise CostError("models: no model runs in this config, so that there is nothing to plan")
    table = pd.DataFrame(rows).astype({"cards_80gb": "Int64"})
    table.to_csv(output, sep="\t", index=False)
    shown = table.drop(columns="refused").assign(**{name: table[name].map(form.format) for name, form in SHOWN.items()})
    print(shown.to_string(index=False, na_rep="-"), file=sys.stdout, flush=True)
    total = table["hours"].sum()
    print(f"{total:.1f} hours of jobs at most, at {settings['plan']['teraflops']} TFLOP/s a card; table: {output}")
    if faults := refusals(rows):
        raise CostError("\n".join(faults))
    logger.info("%d jobs planned", len(rows))


def again(jobs: str, unpinned: list[str], output: str) -> None:
    """Write and print the table of jobs that would run; unpinned: warnings about models, printed with it."""
    table = rerun_table(json.loads(Path(jobs).read_text(encoding="utf-8")))
    table.to_csv(output, sep="\t", index=False)
    print("\n".join([*unpinned, in_words(table)]), flush=True)


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        again(snakemake.input.reruns, snakemake.params.unpinned, snakemake.params.reruns)
        plan_study(json.loads(snakemake.params.settings), snakemake.params.table, journal)
