"""What a result depends on in this project's code: its script and every module that the script imports, as parsed code.

Comments, docstrings and layout are not counted; any other edit of a module that is imported, directly or through other
modules, changes the digest. Snakemake asks while it is parsed, so only the standard library is needed.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

PACKAGE = "retrieval_heads"


def code_digest(entry: Path, source: Path, skip: Sequence[str] = ()) -> str:
    """SHA-256 over a script or notebook and all modules of the package that it imports.

    source: the folder that holds the package. skip: modules, with those below them, that are not followed. The digest
    names no folder, so that a moved clone has the same.
    """
    lines = [f"{name} {_digest(file)}" for name, file in sorted(imported_modules(entry, source, skip).items())]
    return hashlib.sha256("\n".join([_digest(entry), *lines]).encode()).hexdigest()


def imported_modules(entry: Path, source: Path, skip: Sequence[str] = ()) -> dict[str, Path]:
    """Dotted name -> file of every module of the package that `entry` imports, directly or through other modules."""
    found: dict[str, Path] = {}
    waiting = [entry]
    while waiting:
        for name in _imports(waiting.pop()):
            file = _file(name, source)
            skipped = any(name == one or name.startswith(f"{one}.") for one in skip)
            if file is not None and name not in found and not skipped:
                found[name] = file
                waiting.append(file)
    return found


@cache
def _file(name: str, source: Path) -> Path | None:
    """The file of a dotted name; None where it names a function or a class of a module."""
    path = source.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


@cache
def _imports(file: Path) -> tuple[str, ...]:
    """Every dotted name of the package that may be a module and stands in an import of `file`."""
    return tuple(dict.fromkeys(name for line in _statements(_tree(file)) for name in _named(line)))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node, without their expressions, which import nothing."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for line in getattr(node, field, ()):
            yield line
            yield from _statements(line)


def _named(node: ast.AST) -> Iterator[str]:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [one.name for one in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
    for name in names:
        parts = name.split(".")
        if parts[0] == PACKAGE:
            # Importing a module runs the packages around it too.
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


@cache
def _digest(file: Path) -> str:
    return hashlib.sha256(_shape(_tree(file)).encode()).hexdigest()


@cache
def _tree(file: Path) -> ast.Module:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        cells = (cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
        text = "\n".join("".join(source) for source in cells)
    return ast.parse(text)


def _shape(node: object) -> str:
    """The parsed code as text that is the same in every Python: no places, no docstrings, no empty fields."""
    if isinstance(node, list):
        return f"[{','.join(map(_shape, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        fields["body"] = [line for place, line in enumerate(node.body) if place or not _is_text(line)]
    shown = [f"{name}={_shape(value)}" for name, value in fields.items() if value not in (None, [])]
    return f"{type(node).__name__}({','.join(shown)})"


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
