"""Cards are shared out among the jobs of a machine, of an allocation, and of several users."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest

from retrieval_heads.running.gpu_locks import CardError, claim_cards, lock_file, visible_cards


@pytest.mark.parametrize(("value", "cards"), [("0,1", ["0", "1"]), ("", []), ("-1", []), ("GPU-ab", ["GPU-ab"])])
def test_cuda_visible_devices_is_respected(value, cards):
    assert visible_cards({"CUDA_VISIBLE_DEVICES": value}) == cards


def _claim(count, folder, allocation, results, release):
    os.environ["CUDA_VISIBLE_DEVICES"] = "3,5"
    os.environ.pop("SLURM_JOB_ID", None)
    os.environ |= {"SLURM_JOB_ID": allocation} if allocation else {}
    try:
        claim_cards(count, folder, patience=0)
        results.put(os.environ["CUDA_VISIBLE_DEVICES"])
    except CardError as error:
        results.put(str(error))
    release.wait(30)


@pytest.mark.parametrize("allocation", [None, "7"])
def test_jobs_on_one_machine_take_different_cards_and_give_them_back(allocation, tmp_path):
    """So do jobs that share an allocation of Slurm."""
    context = multiprocessing.get_context("spawn")
    results, release = context.Queue(), context.Event()
    seen, jobs = [], []
    for _ in range(3):
        jobs.append(context.Process(target=_claim, args=(1, tmp_path, allocation, results, release)))
        jobs[-1].start()
        seen.append(results.get(timeout=60))
    assert seen[:2] == ["3", "5"]
    assert seen[2] == "1 of the GPUs 3, 5 are wanted and only 0 are free"
    release.set()
    for job in jobs:
        job.join(30)
    last = context.Process(target=_claim, args=(2, tmp_path, allocation, results, release))
    last.start()
    assert results.get(timeout=60) == "3,5"
    last.join(30)


def test_the_same_number_in_two_allocations_is_two_cards(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    files = {lock_file(tmp_path, "0")}
    for job in ("7", "8"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        files.add(lock_file(tmp_path, "0"))
    assert len(files) == 3


def test_a_job_that_needs_more_cards_than_there_are_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(CardError, match=r"needs 3 cards, and 2 can be seen here \(0, 1\): set models\.<name>\.gpus"):
        claim_cards(3, tmp_path, patience=1000)


AS_NOBODY = """
import os, sys
from pathlib import Path
from retrieval_heads.running.gpu_locks import claim_cards
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(claim_cards(1, Path(sys.argv[1]), patience=0))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_second_user_takes_the_card_that_the_first_left(tmp_path, monkeypatch):
    """The lock file of the first user, made under a strict umask in a folder like /tmp, is not in the way."""
    import retrieval_heads

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    source = os.path.dirname(os.path.dirname(retrieval_heads.__file__))
    folder = tmp_path / "locks"
    folder.mkdir()
    for path in (folder, *folder.parents[:-1]):
        path.chmod(0o1777 if path == folder else path.stat().st_mode | 0o5)
    first = "import os, sys; os.umask(0o077)\nfrom pathlib import Path\nfrom retrieval_heads.running import gpu_locks\n"
    first += "print(gpu_locks.claim_cards(1, Path(sys.argv[1]), patience=0))"
    found = []
    for code in (first, AS_NOBODY):
        run = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": source},
        )
        found.append(run.stdout.strip() or run.stderr)
    assert found == ["['0']", "['0']"]


def test_a_lock_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")

    def refused(path, *rest):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(CardError, match=r"remove '.*gpu.*0\.lock', which another user left unreadable"):
        claim_cards(1, tmp_path, patience=0)
