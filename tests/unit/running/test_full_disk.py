"""A disk that fills up loses no finished cell and leaves none that only looks finished."""

from __future__ import annotations

import shutil
import subprocess

import pandas as pd
import pytest

from retrieval_heads.running.cell_store import CellStore

TABLE = pd.DataFrame({"layer": range(200), "head": range(200), "copy_count": [0.123456] * 200})


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here (it needs root)")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_cells_on_a_full_disk(small_disk):
    store = CellStore(small_disk)
    written = 0
    with pytest.raises(OSError, match="No space left"):
        for written in range(1000):
            store.write(f"cell_{written}", "key", {"response": "fly"}, TABLE)
    assert written > 3
    assert store.record(f"cell_{written}", "key") is None, "the cell that did not fit is not done"
    for done in range(written):
        assert store.record(f"cell_{done}", "key")["response"] == "fly"
        pd.testing.assert_frame_equal(store.table(f"cell_{done}"), TABLE)
    for done in range(3):
        (small_disk / f"cell_{done}.tsv").unlink()
    store.write(f"cell_{written}", "key", {"response": "fly"}, TABLE)
    assert store.record(f"cell_{written}", "key")
