"""What jobs on one machine share: cards, with stand-ins for what the driver lists, else cores and memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from studies import ROOT, SMALL, Study

RULES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
BLOCKS = re.split(r"^(?:use )?rule ", RULES, flags=re.M)
GPU_SCRIPTS = sorted(
    {
        path
        for block in BLOCKS
        if re.search(r"^        gpu=", block, re.M)
        for path in re.findall(r"scripts/(.*\.py)", block)
    }
)
# Runs a script as Snakemake does, up to its first import of a library that can start CUDA.
WATCHED = """
import os, runpy, sys
from types import SimpleNamespace

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "lm_eval", "flash_attn", "accelerate"):
            print(name, os.environ["CUDA_VISIBLE_DEVICES"])
            os._exit(0)

sys.meta_path.insert(0, Watch())
job = SimpleNamespace(log=[sys.argv[2]], resources=SimpleNamespace(gpu=1))
runpy.run_path(sys.argv[1], {"snakemake": job})
"""


def driver(folder: Path, cards: int) -> str:
    """A PATH on which `nvidia-smi` lists so many cards."""
    tools = folder / "tools"
    tools.mkdir()
    listed = "".join(f"echo {card}\n" for card in range(cards))
    (tools / "nvidia-smi").write_text(f"#!/bin/sh\n{listed}", encoding="utf-8")
    (tools / "nvidia-smi").chmod(0o755)
    return f"{tools}{os.pathsep}{os.environ['PATH']}"


def test_every_script_that_asks_for_cards_is_looked_at():
    assert len(GPU_SCRIPTS) == 6


@pytest.mark.parametrize("script", GPU_SCRIPTS)
def test_cards_are_claimed_before_any_import_that_can_start_cuda(script, tmp_path):
    """With flash-attn installed, importing transformers starts CUDA: it would see every card, and take the first."""
    environment = {**os.environ, "PATH": driver(tmp_path, 2), "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(tmp_path)}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    command = [sys.executable, "-c", WATCHED, str(ROOT / "workflow/scripts" / script), str(tmp_path / "log")]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert re.fullmatch(r"(torch|transformers|lm_eval)\S* 0\n", run.stdout), run.stdout + run.stderr


def two_jobs(folder: Path, *options: str, **environment: str) -> tuple[list[str], bool]:
    """The logs of two jobs of one model on two cores, and whether they ran at the same time."""
    study = Study(folder)
    study.write(
        {**SMALL, "models": {"organism": {"shards": True}}, "detection": {"lengths": [448], "depths": [0, 100]}}
    )
    targets = [f"results/organism/detection/shards/{needle}.cells.tsv" for needle in ("kite", "soup")]
    run = study.snakemake("--cores", "2", *targets, *options, **environment)
    assert run.returncode == 0, run.stdout
    logs = [
        (folder / f"logs/organism/detect_heads_shard_detection_{needle}.log").read_text() for needle in ("kite", "soup")
    ]
    told = re.findall(r"^(Job|Finished jobid:) \d+.*(?:Detecting|detect_heads)", run.stdout, flags=re.M)
    return logs, told == ["Job", "Job", "Finished jobid:", "Finished jobid:"]


def test_two_cards_run_two_jobs_at_once_and_each_log_says_what_it_ran_on(tmp_path):
    """No flag is needed, but for cores enough."""
    locks = tmp_path / "locks"
    locks.mkdir()
    logs, at_once = two_jobs(tmp_path, PATH=driver(tmp_path, 2), TMPDIR=str(locks))
    assert at_once
    told = r"Kernel sdpa, rows by sdpa, dtype float32, .*VISIBLE_DEVICES (\d)\), device map cpu"
    assert {re.search(told, log).group(1) for log in logs} == {"0", "1"}
    for log in logs:
        assert re.search(r"Peak memory: cpu \d+ MiB; [1-9]\d+ tokens in [\d.]+ s, \d+ a second", log)


# A job of the organism on the CPU takes less than a gigabyte.
@pytest.mark.parametrize(("memory", "at_once"), [(None, True), ("mem_mb=2500", True), ("mem_mb=1000", False)])
def test_without_cards_two_jobs_run_at_once_where_memory_allows(tmp_path, memory, at_once):
    options = ("--resources", memory) if memory else ()
    assert two_jobs(tmp_path, *options, CUDA_VISIBLE_DEVICES="")[1] == at_once


def test_cards_that_are_not_there_are_not_counted_and_a_job_that_needs_them_is_refused(tmp_path):
    study = Study(tmp_path)
    study.write({**SMALL, "models": {"organism": {"gpus": 3}}})
    target = "results/organism/detection/cells.tsv"
    for cards, told in ((2, "2 can be used"), (0, "none can be used")):
        folder = tmp_path / str(cards)
        folder.mkdir()
        run = study.snakemake(target, PATH=driver(folder, cards))
        assert run.returncode != 0
        assert f"models.organism: its jobs need 3 cards of 80 GB, and {told} here" in run.stdout, run.stdout
    assert study.snakemake("-n", target, PATH=driver(tmp_path, 2)).returncode == 0
