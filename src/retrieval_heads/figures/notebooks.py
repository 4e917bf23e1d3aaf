"""Run a figure's notebook; the executed copy names no folder of this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import nbformat
import papermill


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
    done = papermill.execute_notebook(
        str(notebook), target, dict(parameters), kernel_name="python3", progress_bar=False, cwd=folder
    )
    if executed is not None:
        # Papermill notes where the notebooks lay; the parameters, which say what was drawn, stay.
        for key in ("input_path", "output_path"):
            done.metadata["papermill"].pop(key, None)
        nbformat.write(done, executed)


def redraw(executed: Path, study: Path) -> None:
    """Run an executed notebook again inside the study that it belongs to, with the parameters of the first time."""
    recorded = json.loads(executed.read_text(encoding="utf-8"))["metadata"]["papermill"]["parameters"]
    style, package = study / "workflow/notebooks/matplotlibrc", study / "src"
    (study / "results/figures").mkdir(parents=True, exist_ok=True)
    execute(executed, None, recorded, style, package, study)
