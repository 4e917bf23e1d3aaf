"""One case of each kind of error, model by model: the response before and after masking, and what each word copies.

Output: model and the columns of `retrieval_heads.case_studies.case_studies`.
"""

from pathlib import Path

import pandas as pd
from retrieval_heads.case_studies import CELL, case_studies
from retrieval_heads.job_log import job_log
from retrieval_heads.needle_errors import Source
from retrieval_heads.needles import read_needles
from retrieval_heads.statistics.summaries import over_models


def exemplify(models: list[str], inputs, output: str) -> None:
    """inputs.runs, inputs.errors: one table a model; inputs.needles, inputs.haystacks: what was asked of all."""
    sources = {Path(path).stem: Source.of(Path(path).read_text(encoding="utf-8")) for path in inputs.haystacks}
    needles = {name: needle.text for name, needle in read_needles(Path(inputs.needles)).items()}
    tables = {}
    for model, asked, labelled in zip(models, inputs.runs, inputs.errors, strict=True):
        runs, errors = (pd.read_csv(path, sep="\t", keep_default_na=False) for path in (asked, labelled))
        runs = runs.merge(errors[["head_set", *CELL, "error"]], on=["head_set", *CELL], validate="one_to_one")
        tables[model] = case_studies(runs, needles, sources)
    over_models(tables).to_csv(output, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        exemplify(snakemake.params.models, snakemake.input, snakemake.output[0])
