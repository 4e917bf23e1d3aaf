"""A library from elsewhere is noticed; cards are shared out."""

from __future__ import annotations

import multiprocessing
import os
from types import ModuleType

import numpy
import pytest

from retrieval_heads.running.environment import EnvironmentMismatch, check_own_libraries
from retrieval_heads.running.gpu_locks import claim_cards, visible_cards


def test_the_libraries_of_this_environment_pass():
    check_own_libraries({"numpy": numpy})


def test_a_library_of_another_environment_is_named(tmp_path):
    stray = ModuleType("pandas")
    stray.__file__ = str(tmp_path / "pandas/__init__.py")
    with pytest.raises(EnvironmentMismatch, match=r"pandas was imported from .*not in this job's environment"):
        check_own_libraries({"numpy": numpy, "pandas": stray})


def test_a_core_that_pip_installed_is_not_taken_for_the_workflows(tmp_path):
    installed = ModuleType("retrieval_heads")
    installed.__file__ = str(tmp_path / "lib/site-packages/retrieval_heads/__init__.py")
    with pytest.raises(EnvironmentMismatch, match="in place of the workflow's own: pip uninstall retrieval-heads"):
        check_own_libraries({"retrieval_heads": installed})
    installed.__file__ = str(tmp_path / "src/retrieval_heads/__init__.py")
    check_own_libraries({"retrieval_heads": installed})


@pytest.mark.parametrize(("value", "cards"), [("0,1", ["0", "1"]), ("", []), ("-1", []), ("GPU-ab", ["GPU-ab"])])
def test_cuda_visible_devices_is_respected(value, cards):
    assert visible_cards({"CUDA_VISIBLE_DEVICES": value}) == cards


def _claim(count, folder, results, release):
    os.environ["CUDA_VISIBLE_DEVICES"] = "3,5"
    os.environ.pop("SLURM_JOB_ID", None)
    try:
        claim_cards(count, folder, patience=0)
        results.put(os.environ["CUDA_VISIBLE_DEVICES"])
    except TimeoutError as error:
        results.put(str(error))
    release.wait(30)


def test_jobs_on_one_machine_take_different_cards_and_give_them_back(tmp_path):
    context = multiprocessing.get_context("spawn")
    results, release = context.Queue(), context.Event()
    seen, jobs = [], []
    for _ in range(3):
        jobs.append(context.Process(target=_claim, args=(1, tmp_path, results, release)))
        jobs[-1].start()
        seen.append(results.get(timeout=60))
    assert seen[:2] == ["3", "5"]
    assert seen[2] == "1 of the GPUs 3, 5 are wanted and only 0 are free"
    release.set()
    for job in jobs:
        job.join(30)
    last = context.Process(target=_claim, args=(2, tmp_path, results, release))
    last.start()
    assert results.get(timeout=60) == "3,5"
    last.join(30)


def test_inside_a_job_of_slurm_the_cards_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert claim_cards(1, tmp_path) == ["0", "1"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert list(tmp_path.iterdir()) == []
