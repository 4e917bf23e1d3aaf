"""Label what every response of the masked runs is: complete, or which kind of error.

Output: the table of runs without the responses, with the columns error, passage (words) and place (percent of the
haystack), as `retrieval_heads.masking_analysis.error_kinds` defines them.
"""

from pathlib import Path

from retrieval_heads.masking_analysis.error_kinds import Source, label_runs
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.text_files import read_text
from retrieval_heads.text_tables import read_table, write_table


def classify_errors(runs: str, needles: str, haystacks: list[str], output: str) -> None:
    """Read the runs and the texts, write the labels."""
    table = read_table(runs)
    sources = {Path(path).stem: Source.of(read_text(path, "haystacks.folder")) for path in haystacks}
    labelled = label_runs(table, read_needles(Path(needles)), sources).drop(columns="response")
    write_table(labelled, output, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        classify_errors(snakemake.input.runs, snakemake.input.needles, snakemake.input.haystacks, snakemake.output[0])
