"""Trace what a few heads attend to while a model answers a few cells: the first heads of the ranking, and its last.

Outputs: a table of one decode step of one cell, one row a head and field of positions (needle, length, depth, score,
rank, and the columns of `detection.attention_trace.trace`); and JSON with every step of one cell a needle
(`detection.attention_trace.patterns`), for the page of the study. The cells are those that
`detection.attention_trace.choose_cell` chooses, of all cells and of each needle.
"""

import json
from pathlib import Path

from retrieval_heads.running.gpu_locks import claim_cards
from retrieval_heads.running.logs import job_log

if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        # Before any import that can start CUDA, which would see every card of the machine.
        claim_cards(snakemake.resources.gpu)

import pandas as pd
import torch

from retrieval_heads.detection.attention_trace import answer, choose_cell, choose_heads, patterns, trace
from retrieval_heads.models import loading as models
from retrieval_heads.models.out_of_memory import shortage_named
from retrieval_heads.models.usage import logged_usage
from retrieval_heads.prompts.haystacks import load
from retrieval_heads.prompts.placement import assemble
from retrieval_heads.text_tables import read_table, write_table

CELL = ["needle", "length", "depth"]
# Needles, each with one cell, and heads on the page: some hundred kilobytes a model.
NEEDLES, HEADS = 3, 8


def trace_attention(inputs, params, outputs, threads: int, logger) -> None:
    """Answer the chosen cells once more and write what the chosen heads attend to."""
    torch.set_num_threads(threads)
    runs = read_table(inputs.runs)
    ranking = pd.read_csv(inputs.ranking, sep="\t")
    loaded = models.load(params.checkpoint, **json.loads(params.spec))
    heads, found = choose_heads(ranking, HEADS), {}
    traced, *others = choose_cells(runs)
    with logged_usage(loaded, logger) as usage:
        for cell in (traced, *others):
            logger.info("Tracing needle %s at length %d and depth %d", *cell[CELL])
            prompt = prompt_of(cell, inputs)
            with shortage_named("the answer of a cell", "masked.lengths"):
                found[cell["needle"]] = answer(loaded, prompt, heads, params.max_new_tokens)
            usage.add(len(prompt.ids))
    table = trace(found[traced["needle"]], choose_heads(ranking, params.top), params.top)
    table = table.merge(ranking[["layer", "head", "rank", "score"]], how="left")
    table = table.assign(**traced[CELL])[[*CELL, *table.columns]]
    write_table(table, outputs.table, float_format="%.6g")
    shown = [patterns(answered) for answered in found.values()]
    Path(outputs.patterns).write_text(json.dumps(shown, ensure_ascii=False) + "\n", encoding="utf-8")


def choose_cells(runs: pd.DataFrame) -> list[pd.Series]:
    """The cell of the table, then the best cells of other needles, one a needle."""
    first = choose_cell(runs)
    others = [choose_cell(part) for needle, part in runs.groupby("needle", sort=False) if needle != first["needle"]]
    return [first, *others[: NEEDLES - 1]]


def prompt_of(cell: pd.Series, inputs):
    """The prompt of a cell."""
    placement = read_table(inputs.placement)
    row = placement[(placement[CELL] == cell[CELL]).all(axis=1)].to_dict("records")
    pieces = json.loads(Path(inputs.pieces).read_text(encoding="utf-8"))
    return assemble(row, load(Path(inputs.haystacks)), pieces)[0]


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        trace_attention(snakemake.input, snakemake.params, snakemake.output, snakemake.threads, journal)
