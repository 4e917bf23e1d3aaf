"""Draw one figure: run its notebook with papermill.

Outputs: the executed notebook, and the figure as PDF, SVG and PNG beside the table that it draws (TSV).
"""

import json
from pathlib import Path

import retrieval_heads
from retrieval_heads.figures.labels import full_labels
from retrieval_heads.figures.notebooks import execute
from retrieval_heads.running.logs import job_log


def draw_figure(notebook: str, table: str, style: str, labels: dict, settings: dict, svg: str, executed: str) -> None:
    """Execute `notebook` with what it draws as its parameters."""
    parameters = {
        "table": table,
        "labels": labels,
        "settings": settings,
        "output": str(Path(svg).with_suffix("")),
    }
    execute(notebook, executed, parameters, style, Path(retrieval_heads.__file__).parents[1])


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        settings = json.loads(snakemake.params.settings)
        draw_figure(
            snakemake.input.notebook,
            snakemake.input.table,
            snakemake.input.style,
            full_labels(json.loads(snakemake.params.labels), list(snakemake.input.models), settings["score"]),
            settings,
            snakemake.output.svg,
            snakemake.output.notebook,
        )
