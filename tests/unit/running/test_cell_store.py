"""Finished cells survive, half-written ones do not count."""

from __future__ import annotations

import json

import pandas as pd

from retrieval_heads.running.cell_store import CellStore

TABLE = pd.DataFrame({"layer": [0], "head": [1], "copy_count": [0.5]})


def test_a_cell_is_found_again_only_under_its_key(tmp_path):
    store = CellStore(tmp_path)
    store.write("kite_256_0", "key", {"response": "fly"}, TABLE)
    assert store.record("kite_256_0", "key")["response"] == "fly"
    assert store.record("kite_256_0", "another key") is None
    assert store.record("kite_256_11", "key") is None
    pd.testing.assert_frame_equal(store.table("kite_256_0"), TABLE)


def test_a_table_without_its_record_does_not_count(tmp_path):
    store = CellStore(tmp_path)
    store.write("kite_256_0", "key", {}, TABLE)
    (tmp_path / "kite_256_0.json").write_text('{"key": "ke')
    assert store.record("kite_256_0", "key") is None
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_a_record_names_the_machine_that_computed_it(tmp_path):
    store = CellStore(tmp_path / "cells")
    store.write("kite_256_0", "key", {})
    digest = store.record("kite_256_0", "key")["machine"]
    machine = json.loads((tmp_path / f"machine_{digest}.json").read_text())
    assert machine["packages"]["pandas"]["version"] == pd.__version__
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["kite_256_0.json"]
