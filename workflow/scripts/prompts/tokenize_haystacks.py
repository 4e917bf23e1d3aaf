"""Tokenise every haystack with one model's tokenizer.

Input: plain text files. Output: one .npz with token ids and sentence ends of each (retrieval_heads.prompts.haystacks).
"""

from pathlib import Path

from retrieval_heads.models.checkpoint.reading import read_tokenizer
from retrieval_heads.prompts.haystacks import save, tokenize
from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.text_files import read_text


def tokenize_haystacks(texts: list[str], checkpoint: str, quirks: list[str], output: str) -> None:
    """Tokenise `texts`, name each haystack after its file, and write them to `output`."""
    tokenize_text = haystack_reader(quirks)
    tokenizer = read_tokenizer(checkpoint)
    haystacks = {}
    for path in map(Path, texts):
        haystacks[path.stem] = tokenize_text(path.stem, read_text(path, "haystacks.folder"), tokenizer)
    save(Path(output), haystacks)


def haystack_reader(quirks: list[str]):
    """`haystacks.tokenize`, or the replication of the released code in its place."""
    if not quirks:
        return tokenize
    from retrieval_heads.replication.prompts import Prompts

    return Prompts(tuple(quirks)).tokenize


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        tokenize_haystacks(
            snakemake.input.haystacks, snakemake.params.checkpoint, snakemake.params.quirks, snakemake.output[0]
        )
