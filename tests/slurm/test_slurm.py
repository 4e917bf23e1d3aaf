"""The four lines that a user types, on a real Slurm and on a stand-in for conda."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

# Rules that run a model.
ON_CARDS = ("detect_heads", "run_masked_niah", "trace_attention")


def finished_cells(folder: Path) -> dict[str, int]:
    """Finished detection cells of the organism, and when each was written (nanoseconds)."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("results/organism/detection/cells/*.json")}


def jobs_of(cluster, rule: str, model: str) -> list[dict[str, str]]:
    """The submissions of one rule for one model, in the order of their ids."""
    wanted = [job for job in cluster.jobs() if f"rule_{rule}" in job["Comment"] and model in job["Comment"]]
    return sorted(wanted, key=lambda job: int(job["JobId"]))


def wait_for(found, seconds: float = 900):
    """The first true value that `found()` gives."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
    return value


def script_of(job: str) -> int | None:
    """The process of a running Slurm job that executes the rule's own script."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            inside = f"SLURM_JOB_ID={job}".encode() in (entry / "environ").read_bytes().split(b"\0")
            if inside and b"/.snakemake/scripts/" in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except OSError:
            continue
    return None


def test_the_conda_route_draws_all_figures(clone):
    assert "Creating conda environment" in clone.first_run
    for kind in ("pdf", "svg", "png", "tsv"):
        assert (clone.folder / f"results/figures/masked_curve.{kind}").stat().st_size > 100


def test_going_over_to_slurm_and_back_reruns_nothing(clone):
    assert "Nothing to be done" in clone.run("snakemake --profile slurm -n all_figures")
    assert "Nothing to be done" in clone.run("snakemake --cores 8 --use-conda -n")


@pytest.fixture(scope="session")
def slurm_run(clone, cluster):
    """The literal command, with one job cancelled and one killed on its way."""
    for path in clone.folder.glob("results/[!m]*"):
        subprocess.run(["rm", "-r", str(path)], check=True)
    clone.give_cards("twin", 2)
    run = clone.command("snakemake --profile slurm all_figures")
    seen = {}
    detect = wait_for(lambda: jobs_of(cluster, "detect_heads", "organism"))[0]
    wait_for(lambda: len(finished_cells(clone.folder)) >= 3)
    subprocess.run(["scancel", detect["JobId"]], check=True)
    wait_for(lambda: jobs_of(cluster, "detect_heads", "organism")[0]["JobState"] == "CANCELLED")
    seen["kept"] = finished_cells(clone.folder)
    mask = wait_for(lambda: jobs_of(cluster, "run_masked_niah", "organism"))[0]
    os.kill(wait_for(lambda: script_of(mask["JobId"])), signal.SIGKILL)
    seen["output"], _ = run.communicate(timeout=1200)
    assert run.returncode == 0, seen["output"]
    return seen


def test_slurm_draws_all_figures(clone, slurm_run):
    for kind in ("pdf", "svg", "png", "tsv"):
        assert (clone.folder / f"results/figures/masked_curve.{kind}").stat().st_size > 100


def test_every_gpu_job_got_its_cards_of_80_gb_on_one_node(cluster, slurm_run):
    for model, cards in (("organism", 1), ("twin", 2)):
        for rule in ON_CARDS:
            for job in jobs_of(cluster, rule, model):
                assert job["TresPerJob"] == f"gres:gpu:{cards}"
                assert job["Features"] == "gpu80g"
                assert job["NumNodes"] == "1"
                assert job["NodeList"] in ("big1", "big2")


def test_no_other_job_holds_a_card(cluster, slurm_run):
    others = [job for job in cluster.jobs() if not any(f"rule_{rule}" in job["Comment"] for rule in ON_CARDS)]
    assert others
    assert not [job for job in others if "TresPerJob" in job]


def test_small_rules_stay_off_the_queue(cluster, slurm_run):
    comments = " ".join(job["Comment"] for job in cluster.jobs())
    for rule in ("aggregate_scores", "select_head_sets", "summarize_masking", "draw_figure"):
        assert f"rule_{rule}" not in comments


@pytest.mark.parametrize(("rule", "state"), [("detect_heads", "CANCELLED"), ("run_masked_niah", "FAILED")])
def test_a_job_that_fails_is_submitted_again_with_more(cluster, slurm_run, rule, state):
    first, second = jobs_of(cluster, rule, "organism")
    assert (first["JobState"], second["JobState"]) == (state, "COMPLETED")
    memory = [float(job["MinMemoryNode"].rstrip("MG")) for job in (first, second)]
    assert memory[1] == 2 * memory[0]
    assert second["TimeLimit"] > first["TimeLimit"]


def test_a_cancelled_job_goes_on_at_its_first_missing_cell(clone, slurm_run):
    kept = slurm_run["kept"]
    log = (clone.folder / "logs/organism/detect_heads_detection.log").read_text()
    assert f"{len(kept)} of 30 cells are done already" in log
    now = finished_cells(clone.folder)
    assert {name: now[name] for name in kept} == kept
