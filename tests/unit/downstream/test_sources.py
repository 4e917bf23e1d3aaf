"""Where the items of a task come from, and how many are sampled."""

from __future__ import annotations

import pytest

from retrieval_heads.downstream.tasks.sources import (
    PUBLISHED,
    downstream_faults,
    items_of,
    source_of,
    unasked_sources,
)


def test_where_items_come_from():
    assert source_of("gsm8k", {}, "articles")["revision"] == PUBLISHED["gsm8k"].revision
    assert source_of("gsm8k", {"path": "here"}, "articles") == {"kind": "path", "path": "here", "split": "test"}
    assert source_of("extract_qa", {}, "articles") == {"kind": "path", "path": "articles"}
    assert source_of("arc_easy", {"revision": "abc"}, "articles") == {"kind": "harness", "revision": "abc"}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"sizes": [3]}, "downstream.sizes: 3 is not among head_sets.sizes; add it there"),
        ({"models": ["ghost"]}, "downstream.models: no model 'ghost' in models; it has mine"),
        ({"items": {"gsm8k": 5}}, "downstream.items: it names no number for arc_easy"),
        ({"sources": {"gsm8k": {"path": "nowhere"}}}, "downstream.sources.gsm8k.path: there is no folder 'nowhere'"),
        ({"sources": {"gsm8k": {"hub": "a/b"}}}, "downstream.sources.gsm8k.revision: it is missing; pin the commit"),
    ],
)
def test_a_fault_of_the_config_names_the_key_and_the_remedy(part, message):
    config = {"models": {"mine": {}}, "head_sets": {"sizes": [2, "5%"]}}
    good = {"tasks": ["gsm8k", "arc_easy"], "models": None, "sizes": ["5%"], "items": 5, "sources": {}}
    assert list(downstream_faults({**config, "downstream": good}, str)) == list(downstream_faults(config, str)) == []
    [fault] = downstream_faults({**config, "downstream": {**good, **part}}, str)
    assert fault.startswith(message)


@pytest.mark.parametrize(
    ("given", "counts"), [(5, {"gsm8k": 5, "mmlu": 5}), ({"gsm8k": 0, "mmlu": 7}, {"gsm8k": 0, "mmlu": 7})]
)
def test_items_are_one_number_or_one_for_each_task(given, counts):
    assert items_of({"tasks": ["gsm8k", "mmlu"], "items": given}) == counts


def test_a_source_of_a_task_that_is_not_asked_is_warned_of_and_not_looked_at():
    part = {
        "tasks": ["gsm8k"],
        "models": None,
        "sizes": [],
        "items": 5,
        "sources": {"musique": {"path": "nowhere"}, "gsm8k": {}},
    }
    assert list(downstream_faults({"models": {}, "head_sets": {"sizes": []}, "downstream": part}, str)) == []
    [warning] = unasked_sources({"downstream": part})
    assert warning.startswith("downstream.sources.musique: 'musique' is not among downstream.tasks")
    assert unasked_sources({}) == []
