"""Label what every response of the masked runs is: complete, or which kind of error.

Output: the table of runs without the responses, with the columns error, passage (words) and place (percent of the
haystack), as `retrieval_heads.masking_analysis.error_kinds` defines them.
"""

from pathlib import Path

import pandas as pd

from retrieval_heads.masking_analysis.error_kinds import Source, label_runs
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.running.logs import job_log


def classify_errors(runs: str, needles: str, haystacks: list[str], output: str) -> None:
    """Read the runs and the texts, write the labels."""
    table = pd.read_csv(runs, sep="\t", keep_default_na=False)
    sources = {Path(path).stem: Source.of(Path(path).read_text(encoding="utf-8")) for path in haystacks}
    answers = {name: needle.answer for name, needle in read_needles(Path(needles)).items()}
    labelled = label_runs(table, answers, sources).drop(columns="response")
    labelled.to_csv(output, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        classify_errors(snakemake.input.runs, snakemake.input.needles, snakemake.input.haystacks, snakemake.output[0])
