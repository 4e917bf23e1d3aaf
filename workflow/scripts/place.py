"""Place the needles of one experiment in the haystacks of one model.

Output: a table of cells with the exact spans (columns of retrieval_heads.placement.Cell, tokens), and the token ids
that surround the haystack in each needle's prompts.
"""

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from retrieval_heads.haystack import load
from retrieval_heads.job_log import job_log
from retrieval_heads.needles import choose, read_needles
from retrieval_heads.placement import Grid, prepare
from retrieval_heads.quirks.prompts import Prompts
from transformers import AutoTokenizer


def place(
    haystacks: str, needles: str, model: str, checkpoint: str, settings: dict, quirks: list[str], outputs: dict
) -> None:
    """Deal the needles out over the haystacks in order, and place each at every (length, depth)."""
    prompts, tokenizer = Prompts(tuple(quirks)), AutoTokenizer.from_pretrained(checkpoint)
    window = json.loads(Path(model).read_text(encoding="utf-8"))["window"]
    straws = list(load(Path(haystacks)).values())
    grid = Grid(
        tuple(settings["lengths"]),
        tuple(settings["depths"]),
        settings["reserve_tokens"],
        settings["max_new_tokens"],
        settings["repeat_haystack"],
    )
    rows, pieces = [], {}
    for index, needle in enumerate(choose(read_needles(Path(needles)), settings["needles"], "needles")):
        piece = prompts.cut_pieces(needle, tokenizer, settings["template"], settings["chat"])
        haystack = prepare(needle.needle, straws[index % len(straws)], piece, grid, window)
        rows += [asdict(prompt.cell) for prompt in prompts.place_grid(needle.needle, haystack, piece, grid)]
        pieces[needle.needle] = asdict(piece)
    pd.DataFrame(rows).to_csv(outputs["placement"], sep="\t", index=False)
    Path(outputs["pieces"]).write_text(json.dumps(pieces), encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        place(
            snakemake.input.haystacks,
            snakemake.input.needles,
            snakemake.input.model,
            snakemake.params.checkpoint,
            json.loads(snakemake.params.grid),
            snakemake.params.quirks,
            dict(snakemake.output.items()),
        )
