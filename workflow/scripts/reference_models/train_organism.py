"""Train one of the project's own models by its recipe and write its checkpoint.

Outputs: config.json, model.safetensors (float16), tokenizer files, and training_log.tsv (step, tokens, stage, context
tokens, loss in nats, share of right answer tokens, seconds).
"""

from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from retrieval_heads.reference_models.organism import architectures
from retrieval_heads.reference_models.organism.recipes import RECIPES, Recipe
from retrieval_heads.reference_models.organism.tokenizer import train_tokenizer
from retrieval_heads.reference_models.organism.training import train
from retrieval_heads.running.logs import job_log

VOCABULARY = 2048


def retrain(name: str, folder: Path, parent: Path | None, tasks: Path, threads: int, logger) -> None:
    """Train by the recipe of `name`; the log is written as it grows, the checkpoint at the end.

    parent: the checkpoint to go on from, where the recipe has one. tasks: the folder of the task files.
    """
    torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = RECIPES[name]
    model, tokenizer = grown(parent, recipe) if recipe.parent else newborn(recipe)
    rows, steps = [], sum(course.steps for course in recipe.courses)
    with tqdm(total=steps, desc="steps", disable=None) as bar:
        for row in train(model, tokenizer, recipe.seed, recipe.courses, tasks):
            rows.append(row)
            bar.update(row["step"] - bar.n)
            logger.info("%s", row)
            pd.DataFrame(rows).to_csv(folder / "training_log.tsv", sep="\t", index=False)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def newborn(recipe: Recipe) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """An untrained model, and a tokenizer trained for it."""
    tokenizer = train_tokenizer(VOCABULARY, recipe.seed)
    return getattr(architectures, recipe.architecture)(tokenizer, recipe.seed, recipe.window), tokenizer


def grown(parent: Path, recipe: Recipe) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The parent, with the window of its child."""
    model = AutoModelForCausalLM.from_pretrained(parent, dtype=torch.float32, max_position_embeddings=recipe.window)
    return model, AutoTokenizer.from_pretrained(parent)


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        retrain(
            snakemake.wildcards.name,
            Path(snakemake.output[0]).parent,
            Path(snakemake.input.parent[0]).parent if snakemake.input.parent else None,
            Path(snakemake.input.tasks[0]).parent,
            snakemake.threads,
            journal,
        )
