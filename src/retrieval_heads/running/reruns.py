"""Which jobs a run would start in the present results folder, and why, by model and rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

# In the order in which they explain a job: a file that is missing says more than that an earlier job will write it.
REASONS = ("missing", "incomplete", "code", "params", "input", "environment", "earlier job")
NOT_YET = {"missing", "incomplete"}
WHOLE_STUDY = "(all models)"


def rerun_table(jobs: Sequence[Mapping]) -> pd.DataFrame:
    """model rule jobs and a column for each reason: how many of the jobs run for it, each counted once.

    jobs: {"rule", "model" (empty: of all models together), "reasons"} of a dry run. A job with several reasons counts
    for the first of `REASONS`.
    """
    rows = [
        {
            "model": job["model"] or WHOLE_STUDY,
            "rule": job["rule"],
            "reason": min(job["reasons"], key=REASONS.index, default=REASONS[-1]),
        }
        for job in jobs
        if job["rule"] != "all"
    ]
    counted = pd.DataFrame(rows, columns=["model", "rule", "reason"]).value_counts().unstack("reason", fill_value=0)
    table = counted.reindex(columns=REASONS, fill_value=0).reset_index()
    table.insert(2, "jobs", table[list(REASONS)].sum(axis=1))
    return table.rename(columns={"earlier job": "earlier_job"}).rename_axis(columns=None)


def in_words(table: pd.DataFrame) -> str:
    """What is printed: the table without its empty columns, or one sentence where nothing would run again."""
    total = int(table["jobs"].sum())
    if not total:
        return "Nothing would run again: the results are those of this config."
    reasons = [name for name in table.columns[3:] if table[name].any()]
    if set(reasons) <= {*NOT_YET, "earlier_job"}:
        return f"{total} jobs are still to be run, none of them again."
    return f"{total} jobs would run, and why:\n{table[['model', 'rule', 'jobs', *reasons]].to_string(index=False)}"
