"""A digest of code: every formula counts, no comment does, and no module that is imported through another is missed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from retrieval_heads.running import code_digest as digests
from retrieval_heads.running.code_digest import code_digest, imported_modules

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "workflow/scripts"
SCRIPT = '''"""What it does."""
from retrieval_heads.one import first


def main():
    """Do it."""
    return first()
'''
MODULES = {
    "__init__": "",
    "one": "from retrieval_heads.two import second\n\n\ndef first():\n    return second() + 1\n",
    "two/__init__": '"""Two."""\n',
    "two/inner": "def third():\n    return 3\n",
    "guest": "from retrieval_heads.two import inner\n",
    "apart": "x = 1\n",
}
MODULES["two/__init__"] += "from retrieval_heads.two.inner import third as second\n"


@pytest.fixture
def tree(tmp_path):
    """A folder with a package and a script."""
    for name, text in MODULES.items():
        file = tmp_path / "retrieval_heads" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def digest(tree: Path, **options) -> str:
    for cached in (digests._digest, digests._imports, digests._tree, digests._file):
        cached.cache_clear()
    return code_digest(tree / "script.py", tree, **options)


def edit(tree: Path, name: str, change) -> None:
    file = tree / name
    file.write_text(change(file.read_text()))


@pytest.mark.parametrize(
    "lines",
    [
        "def f():\n    {}\n",
        "class A:\n    async def f(self):\n        {}\n",
        "if x:\n    pass\nelif y:\n    {}\n",
        "try:\n    pass\nexcept ImportError:\n    {}\n",
        "try:\n    pass\nfinally:\n    {}\n",
        "with a:\n    for b in c:\n        pass\n    else:\n        {}\n",
        "match a:\n    case 1:\n        {}\n",
    ],
)
def test_an_import_is_found_wherever_it_stands(tree, lines):
    (tree / "script.py").write_text(lines.format("import retrieval_heads.apart"))
    digest(tree)
    assert set(imported_modules(tree / "script.py", tree)) == {"retrieval_heads", "retrieval_heads.apart"}


def test_every_module_that_is_imported_is_found_and_no_other(tree):
    found = imported_modules(tree / "script.py", tree)
    assert sorted(found) == [f"retrieval_heads{name}" for name in ("", ".one", ".two", ".two.inner")]


@pytest.mark.parametrize("name", ["script.py", "retrieval_heads/one.py", "retrieval_heads/two/inner.py"])
def test_a_formula_counts_and_a_comment_does_not(tree, name):
    before = digest(tree)
    edit(tree, name, lambda text: text.replace("    return", "    # Why.\n\n    return") + "\n# The end.\n")
    assert digest(tree) == before
    edit(tree, name, lambda text: text.replace("    return", '    """Another text."""\n    return', 1))
    assert digest(tree) == before or name == "script.py"
    edit(tree, name, lambda text: text.replace("return", "return -", 1))
    assert digest(tree) != before


def test_a_docstring_does_not_count(tree):
    before = digest(tree)
    edit(tree, "script.py", lambda text: text.replace("Do it.", "Do it well.").replace("What it does.", "More."))
    assert digest(tree) == before
    # A text that is used is no docstring.
    edit(tree, "script.py", lambda text: text.replace("return first()", 'return first(), "Do it."'))
    assert digest(tree) != before


def test_a_module_that_nothing_imports_does_not_count(tree):
    before = digest(tree)
    edit(tree, "retrieval_heads/apart.py", lambda text: "x = 2\n")
    assert digest(tree) == before


def test_a_skipped_package_does_not_count_until_it_is_asked_for(tree):
    edit(
        tree,
        "script.py",
        lambda text: text.replace("return first()", "import retrieval_heads.guest\n    return first()"),
    )
    skipped = digest(tree, skip=["retrieval_heads.guest"])
    counted = digest(tree)
    edit(tree, "retrieval_heads/guest.py", lambda text: text + "y = 2\n")
    assert digest(tree, skip=["retrieval_heads.guest"]) == skipped
    assert digest(tree) != counted


def test_the_digest_names_no_folder(tree, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved") / "elsewhere"
    tree.rename(moved)
    before = digest(moved)
    moved.rename(tree)
    assert digest(tree) == before


def test_a_notebook_counts_by_its_code(tree):
    cells = [
        {"cell_type": "markdown", "source": ["Text."]},
        {"cell_type": "code", "source": ["import retrieval_heads.one\n", "x = 1"]},
    ]
    notebook = tree / "figure.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    assert "retrieval_heads.two.inner" in imported_modules(notebook, tree)


def modules_in_use(script: Path) -> set[str]:
    """The modules of the package that Python really loads when it imports what a script imports at its top."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    lines = [ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    code = "\n".join(
        [*lines, "import sys, json", "print(json.dumps([n for n in sys.modules if n.startswith('retrieval_heads')]))"]
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "script", ["detection/detect_heads", "masking/run_masked_niah", "downstream/generate_responses"]
)
def test_what_python_loads_is_what_is_digested(script):
    """Parsed imports against real ones, for the scripts whose cells are kept; a normal run loads no replication."""
    loaded = modules_in_use(SCRIPTS / f"{script}.py")
    assert not [name for name in loaded if name.startswith("retrieval_heads.replication")]
    followed = imported_modules(SCRIPTS / f"{script}.py", ROOT / "src", skip=["retrieval_heads.replication"])
    assert loaded <= set(followed)
