"""Names of models that cannot be used."""

from __future__ import annotations

import re

import pytest

from retrieval_heads.config.faults.names import FOLDERS, name_faults
from unit.tokenizers_at_hand import ROOT

MODEL = {"path": "somewhere"}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (70, "models: the name 70 is no text in YAML; put it in quotes"),
        (True, "models: the name True is no text in YAML"),
        (None, "models: the name None is no text in YAML"),
        ("70", "models.70: tables read this name as a number"),
        ("1e5", "models.1e5: tables read this name as a number"),
        ("NaN", "models.NaN: tables read"),
        ("null", "models.null: tables read"),
        ("True", "models.True: tables read"),
        ("head_score", "models.head_score: results/head_score is a folder of the workflow's own"),
        ("Figures", "models.Figures: results/figures is a folder"),
        ("mine.meta", "models.mine.meta: results/head_score/mine.meta.json would be taken"),
        ("phantom", "models.phantom: this name belongs to the model in results/models/phantom"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_with_its_key(name, fault):
    assert [found[: len(fault)] for found in name_faults({"models": {name: MODEL}})] == [fault]
    if name != "phantom":
        [found] = name_faults({"head_scores": {"models": {name: {"file": "x"}}}})
        assert found.startswith(f"head_scores.{fault}")


def test_common_names_are_kept():
    names = ("llama-2-7b", "70b", "Qwen3-8B", "organism", "models2")
    assert list(name_faults({"models": dict.fromkeys(names, MODEL) | {"phantom": None, "tables": "null"}})) == []


def test_two_models_of_one_label_are_refused():
    models = {"a": {**MODEL, "label": "Llama"}, "b": {**MODEL, "label": "Llama"}, "c": {**MODEL, "label": "a"}}
    [found] = name_faults({"models": models})
    assert found == "models.b.label: 'Llama' is what 'a' is called too; give each its own"
    [found] = name_faults({"models": {"a": MODEL}, "head_scores": {"models": {"b": {"file": "x", "label": "a"}}}})
    assert found.startswith("head_scores.models.b.label: 'a' is what 'a' is called too")
    both = {"models": {"a": {**MODEL, "label": "x"}}, "head_scores": {"models": {"a": {"file": "x", "label": "x"}}}}
    assert list(name_faults(both)) == []


def test_the_folders_are_those_of_the_rules():
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk"))
    named = set(re.findall(r"results/([A-Za-z_-]+)/", rules))
    assert named - {"phantom", "organism"} == FOLDERS
