"""Run a figure's notebook; the executed copy names no folder of this machine."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import nbformat
import papermill
from traitlets.config import Config

LONGEST = 60


def execute(
    notebook: Path, executed: Path | None, parameters: Mapping, style: Path, package: Path, folder: Path | None = None
) -> None:
    """Run `notebook` with `parameters` and write it to `executed`.

    style: a matplotlibrc. package: the folder that holds `retrieval_heads`. folder: working directory of the notebook,
    default this process's. Style and package reach the kernel by the environment.
    """
    os.environ["MATPLOTLIBRC"] = str(Path(style).resolve())
    os.environ["PYTHONPATH"] = str(Path(package).resolve())
    target = None if executed is None else str(executed)
    with private_sockets() as kernel:
        done = papermill.execute_notebook(
            str(notebook),
            target,
            dict(parameters),
            kernel_name="python3",
            progress_bar=False,
            cwd=folder,
            config=kernel,
        )
    if executed is not None:
        # Papermill notes where the notebooks lay; the parameters, which say what was drawn, stay.
        for key in ("input_path", "output_path"):
            done.metadata["papermill"].pop(key, None)
        nbformat.write(done, executed)


@contextmanager
def private_sockets() -> Iterator[Config]:
    """Settings of a kernel that listens on sockets in a folder which only its owner can open, and on no port.

    By default a kernel listens on TCP ports of this machine, which others on a shared machine can reach. The kernel is
    this Python, whatever kernels the user has installed.
    """
    # The path of a socket holds about a hundred characters.
    place = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(prefix="kernel-", dir=place if len(place) < LONGEST else "/tmp") as folder:
        spec = Path(folder) / "kernels/python3/kernel.json"
        spec.parent.mkdir(parents=True)
        command = [sys.executable, "-m", "retrieval_heads.figures.kernel", "-f", "{connection_file}"]
        spec.write_text(
            json.dumps({"argv": command, "display_name": "Python 3", "language": "python"}), encoding="utf-8"
        )
        before = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = os.pathsep.join([folder, *filter(None, [before])])
        try:
            yield Config({"KernelManager": {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}})
        finally:
            os.environ.pop("JUPYTER_PATH")
            if before is not None:
                os.environ["JUPYTER_PATH"] = before


def redraw(executed: Path, study: Path) -> None:
    """Run an executed notebook again inside the study that it belongs to, with the parameters of the first time."""
    recorded = json.loads(executed.read_text(encoding="utf-8"))["metadata"]["papermill"]["parameters"]
    style, package = study / "workflow/notebooks/matplotlibrc", study / "src"
    (study / "results/figures").mkdir(parents=True, exist_ok=True)
    execute(executed, None, recorded, style, package, study)
