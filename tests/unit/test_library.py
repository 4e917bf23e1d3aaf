"""The core as a library: pip installs it from a clone, and the tutorial runs on it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from fresh_clone import ROOT, clone_into

CORE = ROOT / "src/retrieval_heads"
TUTORIAL = ROOT / "notebooks/tutorial.ipynb"
# Module -> what it is called where it is installed from, where that differs.
DISTRIBUTIONS = {"dotenv": "python-dotenv", "rouge_score": "rouge-score", "yaml": "pyyaml"}
# The tutorial without a network, as its own text says.
OFFLINE = {"config": "config/offline.yaml", "name": "organism", "lengths": [256, 448], "sizes": [1, 3, 5]}
# What the last lines of the tutorial know, printed for the test.
SUMMARY = """
import json
summary = {"best": best, "walk": walk.argmax(1).tolist(), "answer": list(first.cell.__dict__.values())[4:8],
           "curve": curve[["kind", "k", "success"]].values.tolist(), "heads": int((found.ranking["score"] > 0.1).sum())}
print(json.dumps(summary))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A fresh clone, with the core installed from it into the folder `site` beside it."""
    folder = tmp_path_factory.mktemp("library") / "clone"
    clone_into(folder, {})
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-compile"]
    done = subprocess.run(
        [*command, "--target", str(folder.parent / "site"), str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_pip_installs_the_whole_core_and_nothing_else(clone):
    site = clone.parent / "site"
    installed = {path.relative_to(site).as_posix() for path in site.rglob("*.py")}
    core = clone / "src/retrieval_heads"
    assert installed == {path.relative_to(core.parent).as_posix() for path in core.rglob("*.py")}


def test_everything_that_the_core_imports_is_among_its_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    known = {re.split(r"[>=<]", one)[0] for one in needs} | {"retrieval_heads", *sys.stdlib_module_names}
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in (name.split(".")[0] for name in names):
                assert DISTRIBUTIONS.get(module, module) in known, f"{path.name} imports {module}"


def test_the_tutorial_is_committed_clean_and_reads_easily():
    notebook = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert TUTORIAL.stat().st_size < 300_000
    assert not [cell for cell in cells if cell.outputs or cell.execution_count]
    assert max(len(cell.source.splitlines()) for cell in cells) <= 14
    assert max(len(line) for cell in cells for line in cell.source.splitlines()) <= 120
    assert {"Install", "Colab", "HF_TOKEN"} <= set(re.findall(r"\w+", TUTORIAL.read_text(encoding="utf-8")))


def test_the_tutorial_finds_watches_and_masks_the_heads_of_the_organism(clone):
    """On the installed core alone, in the notebook's own folder, as a reader would run it."""
    notebook = parameterize_notebook(load_notebook_node(str(clone / "notebooks/tutorial.ipynb")), OFFLINE)
    notebook.cells.append(nbformat.v4.new_code_cell(SUMMARY))
    environment = {**os.environ, "PYTHONPATH": str(clone.parent / "site"), "HF_HUB_OFFLINE": "1"}
    where = {"metadata": {"path": str(clone / "notebooks")}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute(env=environment)
    found = json.loads(notebook.cells[-1].outputs[0].text)
    success = {(kind, k): share for kind, k, share in found["curve"]}
    assert 1 <= found["heads"] <= 10
    needle_start, _, answer_start, answer_end = found["answer"]
    # The best head walks along the answer, one token a step.
    tokens = answer_end - answer_start
    along = list(range(answer_start - needle_start, answer_end - needle_start))
    assert sum(a == b for a, b in zip(found["walk"], along, strict=False)) > 0.8 * tokens
    assert success["none", 0] > 50
    assert success["top", 5] < success["random", 5]
    assert not (clone / "results").exists()
