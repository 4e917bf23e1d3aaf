"""Ask one form of a task under every head set, and keep every response.

Side files `answers/<item>.json` hold the responses of a finished item. Outputs: `responses.jsonl`, one line an item and
head set (item, head_set, kind, k, seed, machine; text, tokens, cut, or loglikelihood in nats and greedy), and
`prompts.jsonl` (item, requests: the text of each as it was asked).
"""

import hashlib
import json
from pathlib import Path

from retrieval_heads.running.gpu_locks import claim_cards
from retrieval_heads.running.logs import job_log

if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        # Before any import that can start CUDA, which would see every card of the machine.
        claim_cards(snakemake.resources.gpu)

import torch
from tqdm import tqdm

from retrieval_heads.downstream import responses as asking
from retrieval_heads.downstream.head_sets import as_masks, chosen_sets
from retrieval_heads.downstream.lm.masked import MaskedLM
from retrieval_heads.downstream.tasks import harness
from retrieval_heads.downstream.tasks.items import read_items, write_items
from retrieval_heads.masking.head_means import CALIBRATION_PROMPTS, calibrate_means
from retrieval_heads.models import loading as models
from retrieval_heads.models.checkpoint.reading import read_tokenizer
from retrieval_heads.models.usage import logged_usage
from retrieval_heads.prompts.encoding.chat import say_date
from retrieval_heads.running.cell_store import CellStore


def generate_responses(form: tuple[str, str], inputs, params, outputs, threads: int, logger) -> None:
    """Compute the items that are missing, then write all responses."""
    torch.set_num_threads(threads)
    settings, info = json.loads(params.settings), json.loads(Path(inputs.model).read_text(encoding="utf-8"))
    head_sets = chosen_sets(json.loads(Path(inputs.head_sets).read_text(encoding="utf-8")), settings["sizes"], info)
    asked = ask_what(form, inputs, params.checkpoint, settings)
    chosen = [[head_set["name"], head_set["heads"]] for head_set in head_sets]
    means_from = calibration(asked, settings)
    depends_on = [info["files"], params.spec, params.settings, chosen, means_from, params.code]
    keys = {q.item: hashlib.sha256(json.dumps([q.arguments, depends_on]).encode()).hexdigest() for q in asked}
    store = CellStore(Path(outputs.responses).parent / "answers")
    missing = [question for question in asked if store.record(question.item, keys[question.item]) is None]
    logger.info("%d of %d items are done already", len(asked) - len(missing), len(asked))
    if missing:
        loaded = models.load(params.checkpoint, **json.loads(params.spec))
        with logged_usage(loaded, logger) as usage:
            lm, done = compute(loaded, missing, means_from, params, head_sets)
            for question, responses in tqdm(done, total=len(missing), desc="items", disable=None):
                store.write(question.item, keys[question.item], {"responses": responses})
            usage.add(lm.tokens)
    write_items(Path(outputs.responses), rows(asked, store, keys, head_sets))
    write_items(Path(outputs.prompts), ({"item": q.item, "requests": [a[0] for a in q.arguments]} for q in asked))


def ask_what(form: tuple[str, str], inputs, checkpoint: str, settings: dict) -> list[asking.Question]:
    """The questions, in the model's chat template where it is to be used."""
    items, shots = read_items(Path(inputs.asked)), read_items(Path(inputs.shots))
    thinking = settings["think_end"] is not None and form[1] == "cot"
    options = {"shots": shots, "max_new_tokens": settings["max_new_tokens"], "seed": settings["seed"]}
    task = harness.load(*form, Path(inputs.tasks[0]).parent, items, thinking=thinking, **options)
    chat = None
    if settings["chat"]:
        told = {key: settings["rendering"][key] for key in ("date", "think_end")}
        tokenizer = read_tokenizer(checkpoint)
        say_date(tokenizer, told["date"])
        chat = harness.chat_template(tokenizer, thinking, **told)
    return asking.questions(items, harness.requests(task, chat))


def calibration(asked: list[asking.Question], settings: dict) -> list[str]:
    """The texts that means are taken from: the first of all that are asked, whatever a job has left; else none."""
    wanted = CALIBRATION_PROMPTS if settings["masking"]["mode"] == "mean_output" else 0
    return [question.arguments[0][0] for question in asked[:wanted]]


def compute(loaded, missing, means_from: list[str], params, head_sets: list[dict]):
    """The masked model, and the responses to what is missing under every head set as they come."""
    settings = json.loads(params.settings)
    lm = MaskedLM(loaded, chat=settings["chat"], opening=settings["rendering"]["opening"])
    if means_from:
        lm.means = calibrate_means(loaded, [lm.lm.tok_encode(text) for text in means_from])
    masks = as_masks(head_sets, settings["masking"])
    return lm, asking.ask(lm, missing, masks, params.batch, whole_text=settings["think_end"] is not None)


def rows(asked, store: CellStore, keys: dict, head_sets: list[dict]):
    """Every response with its item and head set."""
    for question in asked:
        record = store.record(question.item, keys[question.item])
        for head_set in head_sets:
            named = {"item": question.item, "head_set": head_set["name"], "machine": record["machine"]}
            yield named | {n: head_set[n] for n in ("kind", "k", "seed")} | record["responses"][head_set["name"]]


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        generate_responses(
            (snakemake.wildcards.task, snakemake.wildcards.mode),
            snakemake.input,
            snakemake.params,
            snakemake.output,
            snakemake.threads,
            journal,
        )
