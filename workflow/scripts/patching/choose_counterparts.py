"""Choose the other answer that each needle of the masked runs gives in the counterparts of its prompts.

Output: JSON, needle -> answer (text) and ids (token ids of the needle's whole sentence with it). Stops, naming the
needle, where none of its counterparts has as many tokens as its answer.
"""

import json
from dataclasses import asdict
from pathlib import Path

from retrieval_heads.models.checkpoint.reading import read_tokenizer
from retrieval_heads.patching.candidates import candidates
from retrieval_heads.patching.counterparts import match_counterpart
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.pieces import Pieces
from retrieval_heads.running.logs import job_log


def choose_counterparts(needles: str, pieces: str, checkpoint: str, seed: int, output: str, logger) -> None:
    """Match every needle that was placed; raises `CounterpartError` at the first without a counterpart."""
    table, tokenizer = read_needles(Path(needles)), read_tokenizer(checkpoint)
    placed = json.loads(Path(pieces).read_text(encoding="utf-8"))
    chosen = {}
    for name, piece in placed.items():
        own = Pieces(**{key: tuple(ids) for key, ids in piece.items()})
        found = match_counterpart(table[name], candidates(table[name], table, seed), tokenizer, own)
        logger.info("%s: '%s' in place of '%s'", name, found.answer, table[name].answer)
        chosen[name] = asdict(found)
    Path(output).write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        choose_counterparts(
            snakemake.input.needles,
            snakemake.input.pieces,
            snakemake.params.checkpoint,
            snakemake.params.seed,
            snakemake.output[0],
            journal,
        )
