"""Tokenise every haystack with one model's tokenizer.

Input: plain text files. Output: one .npz with token ids and sentence ends of each (retrieval_heads.haystack).
"""

from pathlib import Path

from retrieval_heads.haystack import save, tokenise
from retrieval_heads.job_log import job_log
from transformers import AutoTokenizer


def tokenise_all(texts: list[str], checkpoint: str, output: str) -> None:
    """Tokenise `texts`, name each haystack after its file, and write them to `output`."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    haystacks = {}
    for path in map(Path, texts):
        haystacks[path.stem] = tokenise(path.stem, path.read_text(encoding="utf-8"), tokenizer)
    save(Path(output), haystacks)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        tokenise_all(snakemake.input.haystacks, snakemake.params.checkpoint, snakemake.output[0])
