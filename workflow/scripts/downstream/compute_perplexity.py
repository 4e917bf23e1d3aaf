"""How fluent a model still is under each head set: its perplexity on held-out text.

Output: one row a head set (head_set, kind, k, seed, tokens: evaluated, nats: mean negative log-likelihood of a token,
perplexity).
"""

import json
import math
from pathlib import Path

from retrieval_heads.running.gpu_locks import claim_cards
from retrieval_heads.running.logs import job_log

if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        # Before any import that can start CUDA, which would see every card of the machine.
        claim_cards(snakemake.resources.gpu)

import pandas as pd
import torch

from retrieval_heads.downstream.head_sets import as_masks, chosen_sets
from retrieval_heads.downstream.lm.masked import MaskedLM
from retrieval_heads.downstream.responses import windows
from retrieval_heads.masking.head_means import calibrate_means
from retrieval_heads.models import loading as models
from retrieval_heads.models.usage import logged_usage
from retrieval_heads.sources.text_files import read_text


def compute_perplexity(inputs, params, output: str, threads: int, logger) -> None:
    """Weigh the first tokens of every text under every head set."""
    torch.set_num_threads(threads)
    settings, info = json.loads(params.settings), json.loads(Path(inputs.model).read_text(encoding="utf-8"))
    head_sets = chosen_sets(json.loads(Path(inputs.head_sets).read_text(encoding="utf-8")), settings["sizes"], info)
    loaded = models.load(params.checkpoint, **json.loads(params.spec))
    lm = MaskedLM(loaded, opening=settings["opening"])
    texts = [read_text(text, "haystacks.folder") for text in inputs.texts]
    pairs = [pair for text in texts for pair in windows(lm, text, settings["tokens"])]
    if settings["masking"]["mode"] == "mean_output":
        lm.means = calibrate_means(loaded, [continuation for _, continuation in pairs])
    nats = dict.fromkeys([head_set["name"] for head_set in head_sets], 0.0)
    with logged_usage(loaded, logger) as usage:
        for pair in pairs:
            for name, [(likelihood, _)] in lm.loglikelihoods([pair], as_masks(head_sets, settings["masking"])).items():
                nats[name] -= likelihood
        usage.add(lm.tokens)
    tokens = sum(len(continuation) for _, continuation in pairs)
    rows = [
        {"head_set": head_set["name"], **{name: head_set[name] for name in ("kind", "k", "seed")}, "tokens": tokens}
        | {"nats": nats[head_set["name"]] / tokens, "perplexity": math.exp(nats[head_set["name"]] / tokens)}
        for head_set in head_sets
    ]
    pd.DataFrame(rows).astype({"seed": "Int64"}).to_csv(output, sep="\t", index=False, float_format="%.6g")


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        compute_perplexity(snakemake.input, snakemake.params, snakemake.output[0], snakemake.threads, journal)
