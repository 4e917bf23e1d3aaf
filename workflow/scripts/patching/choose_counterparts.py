"""Choose the other answer that each needle of the masked runs gives in the counterparts of its prompts.

Output: JSON, needle -> answer (text) and ids (token ids of the needle's whole sentence with it). Stops, naming the
needle, where none of its counterparts has as many tokens as its answer, or one stands in a haystack already.
"""

import json
from dataclasses import asdict
from pathlib import Path

from retrieval_heads.models.checkpoint.reading import read_tokenizer
from retrieval_heads.patching.candidates import candidates, counterpart_faults
from retrieval_heads.patching.counterparts import CounterpartError, match_counterpart
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import Pieces
from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.text_files import read_text
from retrieval_heads.words import comparable


def choose_counterparts(
    needles: str, texts: list[str], pieces: str, checkpoint: str, seed: int, output: str, logger
) -> None:
    """Match every needle that was placed; raises `CounterpartError` at the first whose counterparts cannot be used."""
    table, tokenizer = read_needles(Path(needles)), read_tokenizer(checkpoint)
    placed = json.loads(Path(pieces).read_text(encoding="utf-8"))
    haystacks = {path: comparable(read_text(path, "haystacks.folder")) for path in texts}
    chosen = {}
    for name, piece in placed.items():
        own = Pieces(**{key: tuple(ids) for key, ids in piece.items()})
        answers = candidates(table[name], table, seed)
        for fault in counterpart_faults(table[name], answers, needles, haystacks):
            raise CounterpartError(fault)
        found = match_counterpart(table[name], answers, tokenizer, own)
        logger.info("%s: '%s' in place of '%s'", name, found.answer, table[name].answer)
        chosen[name] = asdict(found)
    Path(output).write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        choose_counterparts(
            snakemake.input.needles,
            list(snakemake.input.texts),
            snakemake.input.pieces,
            snakemake.params.checkpoint,
            snakemake.params.seed,
            snakemake.output[0],
            journal,
        )
