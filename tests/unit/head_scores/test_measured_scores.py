"""Head scores of real models that the repository holds: they are read, and their page says what is in them."""

from __future__ import annotations

import json
import re

import pytest
from import_scores import import_scores

from retrieval_heads.head_scores.formats import own
from retrieval_heads.head_scores.ranking import rank_heads
from retrieval_heads.head_scores.scores import sidecar
from unit.tokenizers_at_hand import ROOT

FOLDER = ROOT / "resources/head_scores"
FILES = sorted(file for file in FOLDER.glob("*.json") if not file.name.endswith(".meta.json"))
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_every_file_is_on_the_page():
    assert FILES and all(f"| `{file.name}` |" in PAGE for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_page_says_what_the_file_holds(file):
    said = json.loads(sidecar(file).read_text(encoding="utf-8"))
    ranked = rank_heads(own.read(file), draws=50)
    retrieval = ranked[ranked["score"] > said["threshold"]]
    layers = retrieval["layer"]
    top = ", ".join(f"{row.layer}-{row.head} ({row.score:.2f})" for row in ranked.head(5).itertuples())
    share = f"{len(retrieval) / len(ranked):.1%}".replace("%", " %")
    rows = re.findall(r"^\| .*\| this project \|.*$", PAGE, flags=re.M)
    cells = f"| {said['successful_cells']} | {share} ({said['retrieval_heads']}) | {top} |"
    end = f"{cells} {layers.min()}, {layers.median():.0f}, {layers.max()} |"
    assert len(rows) == len(FILES) and sum(row.endswith(end) for row in rows) == 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_sidecar_names_the_models_file_its_weights_and_no_folder(file):
    text = sidecar(file).read_text(encoding="utf-8")
    said = json.loads(text)
    assert "/" not in text and len(said["gguf"]["sha256"]) == 64
    assert said["gguf"]["weights"] in PAGE and f"`{said['gguf']['sha256'][:8]}…`" in PAGE


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_imported_they_are_the_same_scores_and_keep_what_is_known_of_their_model(file, tmp_path):
    class Outputs:
        head_score, ranking = str(tmp_path / file.name), str(tmp_path / "ranking.tsv")

    import_scores(str(file), Outputs, file.stem, {"format": "own", "group_size": None}, 0.1)
    assert (tmp_path / file.name).read_bytes() == file.read_bytes()
    meta = json.loads(sidecar(tmp_path / file.name).read_text(encoding="utf-8"))
    said = json.loads(sidecar(file).read_text(encoding="utf-8"))
    assert meta["measured"]["gguf"] == said["gguf"]
    assert meta["cells_in_order"] == said["cells_in_order"]
