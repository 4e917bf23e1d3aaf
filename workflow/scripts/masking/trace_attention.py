"""Trace what a few heads attend to at one decode step of one cell: the first heads of the ranking, and its last.

Output: one row a head and field of positions (needle, length, depth, score, rank, and the columns of
`retrieval_heads.trace.trace`). The cell is the one that `retrieval_heads.trace.choose_cell` says.
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

from retrieval_heads.detection.attention_trace import choose_cell, choose_heads, trace
from retrieval_heads.models import loading as models
from retrieval_heads.models.usage import logged_usage
from retrieval_heads.prompts.haystacks import load
from retrieval_heads.prompts.placement import assemble

CELL = ["needle", "length", "depth"]


def trace_attention(inputs, params, output: str, threads: int, logger) -> None:
    """Answer the chosen cell once more and write what the chosen heads attend to."""
    torch.set_num_threads(threads)
    cell = choose_cell(pd.read_csv(inputs.runs, sep="\t", keep_default_na=False))
    logger.info("Tracing needle %s at length %d and depth %d", *cell[CELL])
    placement = pd.read_csv(inputs.placement, sep="\t")
    row = placement[(placement[CELL] == cell[CELL]).all(axis=1)].to_dict("records")
    [prompt] = assemble(row, load(Path(inputs.haystacks)), json.loads(Path(inputs.pieces).read_text(encoding="utf-8")))
    ranking = pd.read_csv(inputs.ranking, sep="\t")
    heads = choose_heads(ranking, params.top)
    loaded = models.load(params.checkpoint, **json.loads(params.spec))
    with logged_usage(loaded, logger) as usage:
        table = trace(loaded, prompt, heads, params.top, params.max_new_tokens)
        usage.add(len(prompt.ids))
    table = table.merge(ranking[["layer", "head", "rank", "score"]], how="left")
    table = table.assign(**cell[CELL])[[*CELL, *table.columns]]
    table.to_csv(output, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        trace_attention(snakemake.input, snakemake.params, snakemake.output[0], snakemake.threads, journal)
