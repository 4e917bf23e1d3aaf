"""Labels of models say what sets a model apart: the bits of its weights, and a score that is not that of the others."""

from __future__ import annotations

import json

import pytest

from retrieval_heads.figures.labels import full_labels

GGUF = {"bits": 4}


@pytest.mark.parametrize(
    ("file", "info", "label"),
    [
        ("results/one/model.json", {"gguf": GGUF}, "One, 4-bit weights"),
        ("results/one/model.json", {"gguf": None}, "One"),
        ("results/two/model.json", {"gguf": GGUF}, "One"),
        ("results/head_score/one.meta.json", {"score": "copy_count"}, "One"),
        ("results/head_score/one.meta.json", {"score": None}, "One"),
        ("results/head_score/one.meta.json", {}, "One"),
        ("results/head_score/one.meta.json", {"score": "query_focused"}, "One, query focused"),
        ("results/head_score/one.meta.json", {"score": "copy_set", "gguf": GGUF}, "One, 4-bit weights, copy set"),
    ],
)
def test_a_label_is_completed(tmp_path, file, info, label):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(info))
    assert full_labels({"one": "One"}, [str(path)], "copy_count") == {"one": label}


def test_a_converted_model_with_imported_scores_is_told_both(tmp_path):
    model, scores = tmp_path / "one/model.json", tmp_path / "head_score/one.meta.json"
    for path, info in ((model, {"gguf": GGUF}), (scores, {"score": "copy_set"})):
        path.parent.mkdir()
        path.write_text(json.dumps(info))
    for infos in ((model, scores), (scores, model)):
        assert full_labels({"one": "One"}, map(str, infos), "copy_count") == {"one": "One, 4-bit weights, copy set"}
