"""Place the needles of one experiment in the haystacks of one model.

Output: a table of cells with the exact spans (columns of prompts.cells.Cell, tokens), and the token ids
that surround the haystack in each needle's prompts.
"""

import json
import logging
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from retrieval_heads.models.checkpoint.reading import embedding_rows, read_tokenizer
from retrieval_heads.prompts.encoding.chat import say_date
from retrieval_heads.prompts.encoding.embedded import refuse_unembedded
from retrieval_heads.prompts.haystacks import load
from retrieval_heads.prompts.needle_selection import refuse_known_answers
from retrieval_heads.prompts.needles import choose, read_needles
from retrieval_heads.prompts.placement import Grid, as_row, cut_pieces, misses, place_grid, prepare
from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.text_files import read_text
from retrieval_heads.text_tables import write_table


def place_needles(
    haystacks: str,
    texts: list[str],
    needles: str,
    model: str,
    checkpoint: str,
    settings: dict,
    quirks: list[str],
    outputs: dict,
) -> None:
    """Deal the needles out over the haystacks in order, and place each at every (length, depth)."""
    (cut, place_cells), tokenizer = placement_functions(quirks), read_tokenizer(checkpoint)
    if settings["chat"]:
        say_date(tokenizer, settings["rendering"]["date"])
    window = json.loads(Path(model).read_text(encoding="utf-8"))["window"]
    haystacks_in_tokens = list(load(Path(haystacks)).values())
    grid = Grid(
        tuple(settings["lengths"]),
        tuple(settings["depths"]),
        settings["reserve_tokens"],
        settings["max_new_tokens"],
        settings["repeat_haystack"],
    )
    rows, pieces, embedded = [], {}, embedding_rows(checkpoint)
    chosen = choose(read_needles(Path(needles)), settings["needles"], "needles")
    refuse_known_answers(chosen, {Path(path).stem: read_text(path, "haystacks.folder") for path in texts}, "needles")
    for index, needle in enumerate(chosen):
        piece = cut(needle, tokenizer, settings["template"], settings["chat"], **settings["rendering"])
        haystack = prepare(needle.needle, haystacks_in_tokens[index % len(haystacks_in_tokens)], piece, grid, window)
        for prompt in place_cells(needle.needle, haystack, piece, grid):
            refuse_unembedded(prompt.ids, tokenizer, embedded)
            rows.append(as_row(prompt.cell, piece))
        pieces[needle.needle] = asdict(piece)
    write_table(pd.DataFrame(rows), outputs["placement"])
    if said := misses(rows):
        logging.warning(said)
    Path(outputs["pieces"]).write_text(json.dumps(pieces), encoding="utf-8")


def placement_functions(quirks: list[str]):
    """`cut_pieces` and `place_grid`, or the replication of the released code in their place."""
    if not quirks:
        return cut_pieces, place_grid
    from retrieval_heads.replication.prompts import Prompts

    prompts = Prompts(tuple(quirks))
    return prompts.cut_pieces, prompts.place_grid


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        place_needles(
            snakemake.input.haystacks,
            list(snakemake.input.texts),
            snakemake.input.needles,
            snakemake.input.model,
            snakemake.params.checkpoint,
            json.loads(snakemake.params.grid),
            snakemake.params.quirks,
            dict(snakemake.output.items()),
        )
