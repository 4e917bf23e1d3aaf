"""Train the organism from random weights and write its checkpoint.

Outputs: config.json, model.safetensors (float16), tokenizer files, and training_log.tsv (step, tokens, stage, context
tokens, loss in nats, share of right answer tokens, seconds).
"""

from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from retrieval_heads.reference_models.organism.tokenizer import train_tokenizer
from retrieval_heads.reference_models.organism.training import COURSES, train
from retrieval_heads.reference_models.organism.untrained import build_untrained
from retrieval_heads.running.logs import job_log

SEED, VOCABULARY, WINDOW = 0, 2048, 2048


def retrain_organism(folder: Path, threads: int, logger) -> None:
    """Train by the recipe of the model card; the log is written as it grows, the checkpoint at the end."""
    torch.set_num_threads(threads)
    tokenizer = train_tokenizer(VOCABULARY, SEED)
    model = build_untrained(tokenizer, SEED, WINDOW)
    rows = []
    with tqdm(total=sum(course.steps for course in COURSES), desc="steps", disable=None) as bar:
        for row in train(model, tokenizer, SEED, COURSES):
            rows.append(row)
            bar.update(row["step"] - bar.n)
            logger.info("%s", row)
            pd.DataFrame(rows).to_csv(folder / "training_log.tsv", sep="\t", index=False)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        retrain_organism(Path(snakemake.output[0]).parent, snakemake.threads, journal)
