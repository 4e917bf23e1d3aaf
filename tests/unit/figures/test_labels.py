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
