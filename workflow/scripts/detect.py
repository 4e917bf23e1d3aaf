"""Detect retrieval heads: answer every cell once and score all heads while the model answers.

Outputs: side files `cells/<needle>_<length>_<depth>.tsv` (layer, head, one column a score), a table of cells
(spans in tokens, response, ROUGE-1 recall in percent, passed, seconds, machine: digest of its record) and all head
tables in one.
"""

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from retrieval_heads import models
from retrieval_heads.cards import claim_cards
from retrieval_heads.cell_store import CellStore, cell_key, code_digest
from retrieval_heads.haystack import load
from retrieval_heads.job_log import job_log
from retrieval_heads.needles import read_needles
from retrieval_heads.placement import assemble
from retrieval_heads.quirks import engine
from retrieval_heads.scoring import passes, rouge1_recall
from tqdm import tqdm


def detect(inputs, params, outputs, threads: int, logger) -> None:
    """Compute the cells that are missing, then write the merged tables."""
    torch.set_num_threads(threads)
    placement = pd.read_csv(inputs.placement, sep="\t")
    pieces = json.loads(Path(inputs.pieces).read_text(encoding="utf-8"))
    cells = placement[placement["needle"] == params.needle] if params.needle else placement
    prompts = assemble(cells.to_dict("records"), load(Path(inputs.haystacks)), pieces)
    answers = {name: needle.answer for name, needle in read_needles(Path(inputs.needles)).items()}
    depends_on = as_key(inputs, params)
    keys = {prompt.cell.name: cell_key(prompt, depends_on) for prompt in prompts}
    stores = {part: CellStore(Path(params.folder) / part) for part in ("cells", "steps")[: 1 + params.steps]}
    missing = [prompt for prompt in prompts if not is_done(prompt.cell.name, keys, stores)]
    logger.info("%d of %d cells are done already", len(prompts) - len(missing), len(prompts))
    if missing:
        loaded = models.load(params.checkpoint, **json.loads(params.spec))
        wanted = {"scores": tuple(params.scores), "steps": params.steps, "max_new_tokens": params.max_new_tokens}
        results = engine.detect(loaded, missing, names=params.quirks, answers=answers, **wanted)
        for result in tqdm(results, total=len(missing), desc="cells", disable=None):
            record = describe(result, answers[result.cell.needle], params.success_recall)
            name = result.cell.name
            if params.steps:
                stores["steps"].write(name, keys[name], {}, result.steps)
            stores["cells"].write(name, keys[name], record, result.scores)
    write_tables([prompt.cell for prompt in prompts], keys, stores, outputs)


def is_done(name: str, keys: dict, stores: dict[str, CellStore]) -> bool:
    """Whether every store holds this cell as it is asked for."""
    return all(store.record(name, keys[name]) is not None for store in stores.values())


def as_key(inputs, params) -> str:
    """What a cell depends on besides its prompt: the weights, how they are run, and the code that scores."""
    facts = json.loads(Path(inputs.model).read_text(encoding="utf-8"))
    settings = [params.spec, params.max_new_tokens, params.success_recall, sorted(params.scores), *params.quirks]
    return json.dumps([facts["files"], settings, code_digest([*inputs.engine, *inputs.code, *inputs.quirks])])


def describe(result, answer: str, success_recall: float) -> dict:
    """One row of the table of cells."""
    recall = rouge1_recall(answer, result.response)
    return {
        **asdict(result.cell),
        "prefilled_tokens": result.prefilled_tokens,
        "response": result.response,
        "rouge1_recall": round(recall, 2),
        "passed": passes(recall, success_recall),
        "seconds": round(result.seconds, 4),
    }


def write_tables(cells, keys, stores: dict[str, CellStore], outputs) -> None:
    """Merge the side files of all cells."""
    records = [stores["cells"].record(cell.name, keys[cell.name]) for cell in cells]
    pd.DataFrame(records).drop(columns="key").to_csv(outputs.cells, sep="\t", index=False)
    tables = [stores["cells"].table(cell.name) for cell in cells]
    for cell, table in zip(cells, tables, strict=True):
        for place, name in enumerate(("needle", "length", "depth")):
            table.insert(place, name, getattr(cell, name))
    pd.concat(tables).to_csv(outputs.scores, sep="\t", index=False, float_format="%.6g")
    if "steps" in stores:
        steps = pd.concat([stores["steps"].table(cell.name) for cell in cells])
        steps.to_csv(outputs.steps, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        claim_cards(snakemake.resources.gpu)
        detect(snakemake.input, snakemake.params, snakemake.output, snakemake.threads, journal)
