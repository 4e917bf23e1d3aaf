"""What a dry run announces, counted by model and rule."""

from __future__ import annotations

from retrieval_heads.running.reruns import in_words, rerun_table

JOBS = [
    {"rule": "place", "model": "organism", "reasons": ["params"]},
    {"rule": "place", "model": "organism", "reasons": ["earlier job", "params"]},
    {"rule": "detect", "model": "organism", "reasons": ["earlier job"]},
    {"rule": "detect", "model": "phantom", "reasons": ["earlier job", "input", "missing"]},
    {"rule": "plot", "model": "", "reasons": ["code"]},
    {"rule": "all", "model": "", "reasons": ["earlier job"]},
]


def test_every_job_counts_once_for_the_reason_that_explains_most():
    table = rerun_table(JOBS).set_index(["model", "rule"])
    assert table["jobs"].to_dict() == {
        ("(all models)", "plot"): 1,
        ("organism", "detect"): 1,
        ("organism", "place"): 2,
        ("phantom", "detect"): 1,
    }
    assert table.loc[("organism", "place"), "params"] == 2
    assert table.loc[("organism", "detect"), "earlier_job"] == 1
    assert table.loc[("phantom", "detect"), "missing"] == 1
    assert table.loc[("(all models)", "plot"), "code"] == 1


def test_what_is_printed():
    assert in_words(rerun_table([])) == "Nothing would run again: the results are those of this config."
    fresh = [{"rule": "place", "model": "m", "reasons": ["missing"]}, {"rule": "m", "model": "m", "reasons": []}]
    assert in_words(rerun_table(fresh)) == "2 jobs are still to be run, none of them again."
    printed = in_words(rerun_table(JOBS)).splitlines()
    assert printed[0] == "5 jobs would run, and why:"
    assert printed[1].split() == ["model", "rule", "jobs", "missing", "code", "params", "earlier_job"]
    assert ["organism", "place", "2", "0", "0", "2", "0"] in [line.split() for line in printed]
