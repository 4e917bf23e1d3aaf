"""One case of each kind of error, model by model: the response before and after masking, and what each word copies.

Output: model and the columns of `retrieval_heads.masking_analysis.case_studies.case_studies`.
"""

from pathlib import Path

from retrieval_heads.masking_analysis.case_studies import CELL, case_studies
from retrieval_heads.masking_analysis.error_kinds import Source
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.text_files import read_text
from retrieval_heads.text_tables import over_models, read_table, write_table


def select_examples(models: list[str], inputs, output: str) -> None:
    """inputs.runs, inputs.errors: one table a model; inputs.needles, inputs.haystacks: what was asked of all."""
    sources = {Path(path).stem: Source.of(read_text(path, "haystacks.folder")) for path in inputs.haystacks}
    needles = read_needles(Path(inputs.needles))
    tables = {}
    for model, asked, labelled in zip(models, inputs.runs, inputs.errors, strict=True):
        runs, errors = (read_table(path) for path in (asked, labelled))
        runs = runs.merge(errors[["head_set", *CELL, "error"]], on=["head_set", *CELL], validate="one_to_one")
        tables[model] = case_studies(runs, needles, sources)
    write_table(over_models(tables), output, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        select_examples(snakemake.params.models, snakemake.input, snakemake.output[0])
