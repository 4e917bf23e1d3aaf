"""Notebooks run on kernels that nobody else can reach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat

from retrieval_heads.figures.notebooks import private_sockets

SOURCE = Path(__file__).parents[3] / "src"
STYLE = Path(__file__).parents[3] / "workflow/notebooks/matplotlibrc"
# Ports that the kernel itself listens on (state 0A), and the sockets that it listens on instead.
CELL = """
import os, pathlib
names = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
own = {os.readlink(name) for name in names if os.path.lexists(name)}
rows = [row.split() for name in ("tcp", "tcp6") for row in open(f"/proc/self/net/{name}").readlines()[1:]]
print("ports", [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own])
rows = [row.split() for row in open("/proc/self/net/unix").readlines()[1:]]
paths = [row[7] for row in rows if len(row) == 8 and f"socket:[{row[6]}]" in own and "kernel-ipc-" in row[7]]
print("modes", {oct(pathlib.Path(path).parent.stat().st_mode)[-3:] for path in paths}, len(paths) >= 5)
"""


def test_a_kernel_listens_on_no_port_and_warns_of_nothing(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, tmp_path / "in.ipynb")
    program = f"""
from pathlib import Path
from retrieval_heads.figures.notebooks import execute
execute(Path("in.ipynb"), Path("out.ipynb"), {{}}, Path({str(STYLE)!r}), Path({str(SOURCE)!r}))
"""
    command, environment = [sys.executable, "-c", program], os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    (text,) = [out["text"] for out in nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs]
    assert text == "ports []\nmodes {'700'} True\n"
    assert "TCP" not in done.stderr and "Warning" not in done.stderr, done.stderr
    assert done.stdout == ""


def test_the_folder_of_the_sockets_is_its_owners_alone_and_goes(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 30)))
    with private_sockets() as settings:
        folder = Path(settings.KernelManager.connection_file).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(str(folder)) < 80, "a socket's path may not be longer than 107 bytes"
    assert not folder.exists()
