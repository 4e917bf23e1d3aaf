"""Measure over which distances retrieval heads work, in all models measured here (columns: analysis.head_reach)."""

import json
from pathlib import Path

import pandas as pd

from retrieval_heads.head_scores.head_reach import head_reach
from retrieval_heads.running.logs import job_log
from retrieval_heads.text_tables import over_models, read_table


def measure_reach(models: list[str], inputs, score: str, threshold: float, output: str) -> None:
    """inputs.cells, inputs.scores, inputs.rankings, inputs.info: one file a model."""
    tables = {}
    for model, *paths in zip(models, inputs.cells, inputs.scores, inputs.rankings, inputs.info, strict=True):
        cells = read_table(paths[0])
        scores, ranking = (pd.read_csv(path, sep="\t", keep_default_na=False) for path in paths[1:3])
        windows = json.loads(Path(paths[3]).read_text(encoding="utf-8"))["windows"]
        windows = {int(layer): tokens for layer, tokens in windows.items()}
        tables[model] = head_reach(cells, scores, ranking, windows, score=score, threshold=threshold)
    over_models(tables).to_csv(output, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        measure_reach(
            snakemake.params.models,
            snakemake.input,
            snakemake.params.score,
            snakemake.params.threshold,
            snakemake.output[0],
        )
