"""Contrast the definitions of a retrieval score, over the successful cells of every model that was measured here.

Output: model and the columns of retrieval_heads.analysis.agreement.definition_agreement.
"""

import pandas as pd

from retrieval_heads.analysis.agreement import definition_agreement
from retrieval_heads.head_scores.scores import CELL
from retrieval_heads.running.logs import job_log
from retrieval_heads.text_tables import over_models, read_table


def compare_scores(cells: dict[str, str], scores: dict[str, str], names: list[str], k: int, output: str) -> None:
    """cells, scores: model -> table of detection. names: the scores to contrast. k: heads in a top set."""
    tables = {}
    for model, path in cells.items():
        answered = read_table(path)
        passed = answered.loc[answered["passed"], CELL]
        tables[model] = definition_agreement(pd.read_csv(scores[model], sep="\t").merge(passed, on=CELL), names, k)
    over_models(tables).to_csv(output, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        models = snakemake.params.models
        compare_scores(
            dict(zip(models, snakemake.input.cells, strict=True)),
            dict(zip(models, snakemake.input.scores, strict=True)),
            snakemake.params.scores,
            snakemake.params.k,
            snakemake.output[0],
        )
