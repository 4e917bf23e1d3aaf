"""Place facts in prompts of exact lengths, planted in haystacks or where their documents tell them.

Outputs: a table of cells with the exact spans (columns of prompts.cells.Cell, tokens), the token ids that
surround the text in each fact's prompts, and the texts themselves (.npz, retrieval_heads.prompts.haystacks).
"""

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from retrieval_heads.models.checkpoint.reading import embedding_rows, read_tokenizer
from retrieval_heads.prompts.encoding.chat import say_date
from retrieval_heads.prompts.encoding.embedded import refuse_unembedded
from retrieval_heads.prompts.haystacks import load, save
from retrieval_heads.prompts.needle_selection import refuse_known_answers
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import as_row, cut_pieces
from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.text_files import read_text
from retrieval_heads.sum_attention.facts import FactError
from retrieval_heads.sum_attention.placement import natural, planted
from retrieval_heads.text_tables import read_table, write_table


def place_record_facts(wildcards, inputs, checkpoint: str, settings: dict, outputs) -> None:
    """Deal the facts out over the haystacks in order, and place each.

    Raises `NeedleError` where a haystack that facts are planted in tells one of them already.
    """
    check_window(inputs.model, settings)
    tokenizer = read_tokenizer(checkpoint)
    texts_in_tokens = list(load(Path(inputs.haystacks)).values())
    if settings["chat"]:
        say_date(tokenizer, settings["rendering"]["date"])
    needles = read_needles(Path(inputs.facts))
    if wildcards.placement == "planted":
        told = {Path(path).stem: read_text(path, "haystacks.folder") for path in inputs.texts}
        refuse_known_answers(list(needles.values()), told, "sum_attention.records")
    split = read_table(inputs.split)
    chosen = split[split["part"] == wildcards.part]
    documents = {Path(path).stem: path for path in inputs.documents}
    lengths, repeat = settings["lengths"], settings["repeat"]
    rows, texts, pieces, embedded = [], {}, {}, embedding_rows(checkpoint)
    for number, fact in enumerate(chosen.itertuples()):
        needle, haystack = needles[fact.needle], texts_in_tokens[number % len(texts_in_tokens)]
        piece = cut_pieces(needle, tokenizer, settings["template"], settings["chat"], **settings["rendering"])
        if wildcards.placement == "natural":
            document = read_text(documents[fact.record], "sum_attention.documents")
            placed = natural(needle, document, haystack, piece, tokenizer, lengths, repeat)
        else:
            placed = planted(needle, haystack, piece, lengths, settings["depths"], repeat)
        for prompt in placed.prompts:
            refuse_unembedded(prompt.ids, tokenizer, embedded)
            rows.append(as_row(prompt.cell, placed.pieces))
        texts |= placed.texts
        pieces[fact.needle] = asdict(placed.pieces)
    write_table(pd.DataFrame(rows), outputs.placement)
    Path(outputs.pieces).write_text(json.dumps(pieces), encoding="utf-8")
    save(Path(outputs.texts), texts)


def check_window(model: str, settings: dict) -> None:
    """The longest prompt and its answer must fit into the model's window."""
    window = json.loads(Path(model).read_text(encoding="utf-8"))["window"]
    longest, new = max(settings["lengths"]), settings["max_new_tokens"]
    if window is not None and longest + new > window:
        raise FactError(
            f"sum_attention.lengths: {longest} tokens and {new} new ones (prompt.max_new_tokens) are beyond the "
            f"model's window of {window}; shorten the list"
        )


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        place_record_facts(
            snakemake.wildcards,
            snakemake.input,
            snakemake.params.checkpoint,
            json.loads(snakemake.params.settings),
            snakemake.output,
        )
