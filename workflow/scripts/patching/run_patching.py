"""Patched needle runs: the heads of every head set from one prompt of a cell into the other.

Side files `runs/<needle>_<length>_<depth>.json` hold what was measured in a finished cell. Output: one row per
direction, what is patched, head set and cell (head_set, kind, k, seed, the cell, counterpart, log_probability and
other_log_probability in nats, greedy, share in percent, machine: digest of its record).
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

from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models import loading
from retrieval_heads.patching.counterparts import Counterpart, counterpart_prompt
from retrieval_heads.patching.patch import PatchError
from retrieval_heads.patching.runs import CEILING, FLOOR, SOURCE, run
from retrieval_heads.patching.tables import with_shares
from retrieval_heads.prompts.haystacks import load
from retrieval_heads.prompts.placement import assemble
from retrieval_heads.running.cell_store import CellStore
from retrieval_heads.text_tables import read_table


def run_patching(inputs, params, outputs, threads: int, logger) -> None:
    """Compute the cells that are missing, then write the table of runs."""
    torch.set_num_threads(threads)
    head_sets = json.loads(Path(inputs.head_sets).read_text(encoding="utf-8"))
    pieces = json.loads(Path(inputs.pieces).read_text(encoding="utf-8"))
    counterparts = {
        needle: Counterpart(found["answer"], tuple(found["ids"]))
        for needle, found in json.loads(Path(inputs.counterparts).read_text(encoding="utf-8")).items()
    }
    placement = read_table(inputs.placement).to_dict("records")
    pairs = [
        (prompt, counterpart_prompt(prompt, counterparts[prompt.cell.needle]))
        for prompt in assemble(placement, load(Path(inputs.haystacks)), pieces)
    ]
    kinds = described(head_sets, json.loads(Path(inputs.model).read_text(encoding="utf-8")))
    depends_on = as_key(inputs, params, head_sets)
    keys = {one.cell.name: other.key(one.key(depends_on)) for one, other in pairs}
    store = CellStore(Path(params.folder) / "runs")
    missing = [pair for pair in pairs if store.record(pair[0].cell.name, keys[pair[0].cell.name]) is None]
    logger.info("%d of %d cells are done already", len(pairs) - len(missing), len(pairs))
    if missing:
        for result in tqdm(patch(missing, params, head_sets), total=len(missing), desc="cells", disable=None):
            store.write(result.cell.name, keys[result.cell.name], {"measured": result.measured})
    rows = [
        row
        for original, _ in pairs
        for row in rows_of(
            original.cell, store.record(original.cell.name, keys[original.cell.name]), kinds, counterparts
        )
    ]
    table = with_shares(pd.DataFrame(rows).astype({"seed": "Int64"}))
    table.to_csv(outputs.runs, sep="\t", index=False, float_format="%.8g")


def as_key(inputs, params, head_sets: list[dict]) -> str:
    """What a cell depends on besides its prompts: weights, what is patched, head sets and the code that runs them."""
    info = json.loads(Path(inputs.model).read_text(encoding="utf-8"))
    chosen = [[head_set["name"], head_set["heads"]] for head_set in head_sets]
    return json.dumps([info["files"], chosen, params.spec, params.patching, params.unit, params.code])


def patch(pairs, params, head_sets: list[dict]):
    """Load the model and run every pair of prompts under every head set."""
    loaded = loading.load(params.checkpoint, **json.loads(params.spec))
    chosen = {
        head_set["name"]: HeadMask(tuple(tuple(head) for head in head_set["heads"]), unit=params.unit)
        for head_set in head_sets
    }
    return run(loaded, pairs, chosen, batch=params.batch, **json.loads(params.patching))


def described(head_sets: list[dict], info: dict) -> dict[str, dict]:
    """Name of a run -> kind, k and seed, of the head sets and of the runs without one and with all heads."""
    every = sum(heads for heads, _ in info["heads_by_layer"].values())
    known = {head_set["name"]: {name: head_set[name] for name in ("kind", "k", "seed")} for head_set in head_sets}
    limits = {SOURCE: 0, FLOOR: 0, CEILING: every}
    if taken := sorted(limits.keys() & known):
        raise PatchError(
            f"models.*.head_sets: a set is named '{taken[0]}', which is what patched runs call a run of "
            "their own; give the set another name"
        )
    return known | {name: {"kind": name, "k": k, "seed": None} for name, k in limits.items()}


def rows_of(cell, record: dict, kinds: dict[str, dict], counterparts: dict[str, Counterpart]):
    """The rows of one finished cell."""
    for direction, patched in record["measured"].items():
        for what, measured in patched.items():
            for name, values in measured.items():
                yield {
                    "direction": direction,
                    "what": what,
                    "head_set": name,
                    **kinds[name],
                    **{key: getattr(cell, key) for key in ("needle", "haystack", "length", "depth")},
                    "counterpart": counterparts[cell.needle].answer,
                    **values,
                    "machine": record["machine"],
                }


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        run_patching(snakemake.input, snakemake.params, snakemake.output, snakemake.threads, journal)
