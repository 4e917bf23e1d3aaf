"""Detect retrieval heads: answer every cell once and score all heads while the model answers.

Outputs: side files `cells/<needle>_<length>_<depth>.tsv` (layer, head, one column a score), a table of cells
(spans in tokens, response, ROUGE-1 recall in percent, passed, seconds, machine: digest of its record) and all head
tables in one.
"""

import json
from dataclasses import asdict
from pathlib import Path

from retrieval_heads.running.gpu_locks import claim_cards
from retrieval_heads.running.logs import job_log

if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        # Before any import that can start CUDA, which would see every card of the machine.
        claim_cards(snakemake.resources.gpu)

import pandas as pd
import torch
from tqdm import tqdm

from retrieval_heads.detection import detector
from retrieval_heads.models import loading
from retrieval_heads.models.usage import logged_usage
from retrieval_heads.prompts.haystacks import load
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import assemble
from retrieval_heads.prompts.recall import passes, rouge1_recall
from retrieval_heads.running.cell_store import CellStore
from retrieval_heads.text_tables import read_table, write_table


def detect_heads(inputs, params, outputs, threads: int, logger) -> None:
    """Compute the cells that are missing, then write the merged tables."""
    torch.set_num_threads(threads)
    placement = read_table(inputs.placement)
    pieces = json.loads(Path(inputs.pieces).read_text(encoding="utf-8"))
    cells = placement[placement["needle"] == params.needle] if params.needle else placement
    prompts = assemble(cells.to_dict("records"), load(Path(inputs.haystacks)), pieces)
    answers = {name: needle.answer for name, needle in read_needles(Path(inputs.needles)).items()}
    depends_on = as_key(inputs, params)
    keys = {prompt.cell.name: prompt.key(depends_on) for prompt in prompts}
    stores = {part: CellStore(Path(params.folder) / part) for part in ("cells", "steps")[: 1 + params.steps]}
    missing = [prompt for prompt in prompts if not is_done(prompt.cell.name, keys, stores)]
    logger.info("%d of %d cells are done already", len(prompts) - len(missing), len(prompts))
    if missing:
        loaded = loading.load(params.checkpoint, **json.loads(params.spec))
        wanted = {"scores": tuple(params.scores), "steps": params.steps, "max_new_tokens": params.max_new_tokens}
        results = run_detection(loaded, missing, answers, params.quirks, wanted)
        with logged_usage(loaded, logger) as usage:
            for result in tqdm(results, total=len(missing), desc="cells", disable=None):
                usage.add(result.prefilled_tokens + len(result.response_ids))
                record = describe(result, answers[result.cell.needle], params.success_recall)
                name = result.cell.name
                if params.steps:
                    stores["steps"].write(name, keys[name], {}, result.steps)
                stores["cells"].write(name, keys[name], record, result.scores)
    write_tables([prompt.cell for prompt in prompts], keys, stores, outputs)


def run_detection(loaded, prompts, answers: dict[str, str], quirks: list[str], wanted: dict):
    """`detector.detect`, or the replication of the released code in its place."""
    if not quirks:
        return detector.detect(loaded, prompts, **wanted)
    from retrieval_heads.replication import engine

    return engine.detect(loaded, prompts, names=quirks, answers=answers, **wanted)


def is_done(name: str, keys: dict, stores: dict[str, CellStore]) -> bool:
    """Whether every store holds this cell as it is asked for."""
    return all(store.record(name, keys[name]) is not None for store in stores.values())


def as_key(inputs, params) -> str:
    """What a cell depends on besides its prompt: the weights, how they are run, and the code that scores."""
    info = json.loads(Path(inputs.model).read_text(encoding="utf-8"))
    settings = [params.spec, params.max_new_tokens, params.success_recall, sorted(params.scores), *params.quirks]
    return json.dumps([info["files"], settings, params.code])


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
    write_table(pd.DataFrame(records).drop(columns="key"), outputs.cells)
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
        detect_heads(snakemake.input, snakemake.params, snakemake.output, snakemake.threads, journal)
