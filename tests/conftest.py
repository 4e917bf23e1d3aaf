"""A finished study, run once and copied for every worker."""

from __future__ import annotations

import fcntl
import os
import shutil

import pytest

from studies import Study


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Study:
    """The finished study; its folder has a space in its name.

    The first worker that needs it runs it, the others wait and copy it: to a folder as deep as the first, so that files
    of the project keep their names as seen from there.
    """
    own = tmp_path_factory.getbasetemp()
    runs = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    runs.mkdir(exist_ok=True)
    with open(runs / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (runs / "finished").exists():
            first = Study(tmp_path_factory.mktemp("a study"))
            run = first.snakemake()
            assert run.returncode == 0, run.stdout
            shutil.copytree(first.folder, runs / "a study", copy_function=shutil.copy2)
            (runs / "finished").write_text(run.stdout, encoding="utf-8")
            return first
    copy = Study(tmp_path_factory.mktemp("a study"))
    shutil.copytree(runs / "a study", copy.folder, copy_function=shutil.copy2, dirs_exist_ok=True)
    return copy
