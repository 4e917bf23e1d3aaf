"""Draw one figure: run its notebook with papermill.

Outputs: the executed notebook, and the figure as PDF, SVG and PNG beside the table that it draws (TSV).
"""

import json
import os
from pathlib import Path

import papermill
import retrieval_heads
from retrieval_heads.job_log import job_log


def plot(notebook: str, table: str, style: str, labels: dict, settings: dict, svg: str, executed: str) -> None:
    """Execute `notebook`; style and package reach its kernel by the environment."""
    os.environ["MATPLOTLIBRC"] = str(Path(style).resolve())
    os.environ["PYTHONPATH"] = str(Path(retrieval_heads.__file__).parents[1])
    parameters = {
        "table": table,
        "labels": labels,
        "settings": settings,
        "output": str(Path(svg).with_suffix("")),
    }
    papermill.execute_notebook(notebook, executed, parameters, kernel_name="python3", progress_bar=False)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        plot(
            snakemake.input.notebook,
            snakemake.input.table,
            snakemake.input.style,
            json.loads(snakemake.params.labels),
            json.loads(snakemake.params.settings),
            snakemake.output.svg,
            snakemake.output.notebook,
        )
