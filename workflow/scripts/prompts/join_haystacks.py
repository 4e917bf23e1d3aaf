"""Join the texts of a folder into one haystack, in the order of their names.

Input: plain text files, or one folder of them. Output: one plain text file.
"""

from pathlib import Path

from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.haystack_sources import join_texts
from retrieval_heads.sources.text_files import list_texts


def join_haystacks(inputs: list[str], output: str, key: str) -> None:
    """Write the joined text; the .txt files of a folder stand for it. key: of the config, that names the texts."""
    files = [file for path in map(Path, inputs) for file in ([path] if path.is_file() else list_texts(path))]
    join_texts(files, Path(output), key)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        join_haystacks(list(snakemake.input), snakemake.output[0], snakemake.params.key)
