"""Put every variant of a model beside the one without quirks.

Output: model and the columns of retrieval_heads.replication.effects.effects.
"""

import json
from pathlib import Path

from retrieval_heads.head_scores.formats import own
from retrieval_heads.replication.effects import Measured, effects
from retrieval_heads.running.logs import job_log
from retrieval_heads.text_tables import over_models, read_table


def compare_quirks(
    variants: dict[str, list[str]], files: dict[str, dict], shown: int, threshold: float, output: str
) -> None:
    """variants: model -> the names of its variants. files: head_score, cells and runs of each variant."""
    tables = {}
    for model, names in variants.items():
        measured = {
            name.removeprefix(f"{model}--"): Measured(
                own.read(Path(files["head_score"][name])),
                *(read_table(files[kind][name]) for kind in ("cells", "runs")),
            )
            for name in names
        }
        tables[model] = effects(measured, shown, threshold)
    over_models(tables).to_csv(output, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        chosen = json.loads(snakemake.params.variants)
        every = [name for names in chosen.values() for name in names]
        compare_quirks(
            chosen,
            {kind: dict(zip(every, snakemake.input[kind], strict=True)) for kind in ("head_score", "cells", "runs")},
            snakemake.params.shown,
            snakemake.params.threshold,
            snakemake.output[0],
        )
