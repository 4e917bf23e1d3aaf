"""Tokenise every haystack with one model's tokenizer.

Input: plain text files. Output: one .npz with token ids and sentence ends of each (retrieval_heads.haystack).
"""

from pathlib import Path

from retrieval_heads.haystack import save
from retrieval_heads.job_log import job_log
from retrieval_heads.quirks.prompts import Prompts
from transformers import AutoTokenizer


def tokenise_all(texts: list[str], checkpoint: str, quirks: list[str], output: str) -> None:
    """Tokenise `texts`, name each haystack after its file, and write them to `output`."""
    prompts = Prompts(tuple(quirks))
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    haystacks = {}
    for path in map(Path, texts):
        haystacks[path.stem] = prompts.tokenise(path.stem, path.read_text(encoding="utf-8"), tokenizer)
    save(Path(output), haystacks)


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        tokenise_all(
            snakemake.input.haystacks, snakemake.params.checkpoint, snakemake.params.quirks, snakemake.output[0]
        )
