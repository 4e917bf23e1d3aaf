"""Masked needle runs: ask every cell again under every head set.

Side files `runs/<needle>_<length>_<depth>.json` hold the responses of a finished cell. Output: one row per head set
and cell (head_set, kind, k, seed, the cell, response, ROUGE-1 recall in percent, passed, machine: digest of its
record).
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
from tqdm import tqdm

from retrieval_heads.masking import niah
from retrieval_heads.masking.head_means import CALIBRATION_PROMPTS, calibrate_means, calibration_key
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models import loading
from retrieval_heads.models.usage import logged_usage
from retrieval_heads.prompts.haystacks import load
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import assemble
from retrieval_heads.prompts.recall import passes, rouge1_recall
from retrieval_heads.running.cell_store import CellStore
from retrieval_heads.text_tables import read_table, write_table

UNMASKED = {"name": "unmasked", "kind": "none", "k": 0, "seed": None, "heads": []}


def run_masked_niah(inputs, params, outputs, threads: int, logger) -> None:
    """Compute the cells that are missing, then write the table of runs."""
    torch.set_num_threads(threads)
    head_sets = [UNMASKED, *json.loads(Path(inputs.head_sets).read_text(encoding="utf-8"))]
    placement = read_table(inputs.placement)
    pieces = json.loads(Path(inputs.pieces).read_text(encoding="utf-8"))
    cells = placement[placement["needle"] == params.needle] if params.needle else placement
    texts = load(Path(inputs.haystacks))
    prompts = assemble(cells.to_dict("records"), texts, pieces)
    calibration = []
    if json.loads(params.masking)["mode"] == "mean_output":
        calibration = assemble(placement.head(CALIBRATION_PROMPTS).to_dict("records"), texts, pieces)
        logger.info("Means are taken from the cells %s", ", ".join(prompt.cell.name for prompt in calibration))
    depends_on = as_key(inputs, params, head_sets, calibration)
    keys = {prompt.cell.name: prompt.key(depends_on) for prompt in prompts}
    store = CellStore(Path(params.folder) / "runs")
    missing = [prompt for prompt in prompts if store.record(prompt.cell.name, keys[prompt.cell.name]) is None]
    logger.info("%d of %d cells are done already", len(prompts) - len(missing), len(prompts))
    if missing:
        means_from = {"means_from": [prompt.cell.name for prompt in calibration]} if calibration else {}
        loaded = loading.load(params.checkpoint, **json.loads(params.spec))
        with logged_usage(loaded, logger) as usage:
            done = answer(loaded, missing, calibration, params, head_sets)
            for result in tqdm(done, total=len(missing), desc="cells", disable=None):
                usage.add(result.prefilled_tokens + result.emitted_tokens)
                store.write(result.cell.name, keys[result.cell.name], {"responses": result.responses, **means_from})
    answers = {name: needle.answer for name, needle in read_needles(Path(inputs.needles)).items()}
    rows = [
        row(head_set, prompt.cell, record["responses"][head_set["name"]], answers, params.success_recall)
        | {"machine": record["machine"]}
        for prompt in prompts
        for record in [store.record(prompt.cell.name, keys[prompt.cell.name])]
        for head_set in head_sets
    ]
    write_table(pd.DataFrame(rows).astype({"seed": "Int64"}), outputs.runs)


def as_key(inputs, params, head_sets: list[dict], calibration: list) -> str:
    """What a cell depends on besides its prompt: weights, masking, head sets, calibration prompts and code."""
    info = json.loads(Path(inputs.model).read_text(encoding="utf-8"))
    chosen = [[head_set["name"], head_set["heads"]] for head_set in head_sets]
    settings = [params.spec, params.masking, params.max_new_tokens, *params.quirks]
    means_from = calibration_key([prompt.ids for prompt in calibration])
    return json.dumps([info["files"], chosen, settings, means_from, params.code])


def answer(loaded, prompts, calibration, params, head_sets: list[dict]):
    """Ask every prompt under every head set. calibration: the prompts that means are taken from."""
    settings = json.loads(params.masking)
    masks = {
        head_set["name"]: HeadMask(tuple(tuple(head) for head in head_set["heads"]), **settings)
        for head_set in head_sets
    }
    means = calibrate_means(loaded, [prompt.ids for prompt in calibration]) if calibration else None
    wanted = {"max_new_tokens": params.max_new_tokens, "decode_batch": params.batch, "means": means}
    if not params.quirks:
        return niah.run(loaded, prompts, masks, **wanted)
    from retrieval_heads.replication import engine

    return engine.run(loaded, prompts, masks, names=params.quirks, head_sets=head_sets, **wanted)


def row(head_set: dict, cell, response: str, answers: dict, success_recall: float) -> dict:
    """One row of the table of runs."""
    recall = rouge1_recall(answers[cell.needle], response)
    return {
        "head_set": head_set["name"],
        **{name: head_set[name] for name in ("kind", "k", "seed")},
        **{name: getattr(cell, name) for name in ("needle", "haystack", "length", "depth")},
        "response": response,
        "rouge1_recall": round(recall, 2),
        "passed": passes(recall, success_recall),
    }


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        run_masked_niah(snakemake.input, snakemake.params, snakemake.output, snakemake.threads, journal)
