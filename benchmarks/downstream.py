"""Responses and perplexity under head sets, against the machine's rate of products; CPU seconds of one process.

    python benchmarks/downstream.py --model CHECKPOINT --questions QUESTIONS.jsonl
    python benchmarks/downstream.py --model CHECKPOINT --text TEXT --tokens 1024

QUESTIONS: one object a line with a `question`; prompts and head sets as rows of one batch, against one head set after
the other (`--ways`). Share of the floor: FLOP of all tokens that went through the model, at the rate of a product of
2,048 x 2,048, to the seconds that were taken.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import transformers
from floor import Clock, product_rate
from random_models import checkpoint
from ways import head_sets

from retrieval_heads.costs.shape import read_shape
from retrieval_heads.downstream.lm.masked import MaskedLM
from retrieval_heads.downstream.lm.padded_batches import tokens_before_end
from retrieval_heads.downstream.responses import windows
from retrieval_heads.masking.masks import HeadMask, Masks
from retrieval_heads.models.loading import Loaded
from retrieval_heads.prompts.encoding.chat import render

ASKED = "\nThink step by step and give the number at the end."


WAYS = {"one after the other": "padded", "rows of one batch": "side_by_side"}


def floor_seconds(loaded: Loaded, tokens: int, mean: int) -> float:
    """CPU seconds of the products of so many tokens, head of the model included, at `mean` tokens of context."""
    shape = read_shape(loaded.model.config.to_dict())
    flop = tokens * (shape.prefill_flops(mean, mean + 1) + 2 * shape.hidden * shape.vocabulary)
    return flop / product_rate(Clock("cpu"), "cpu", torch.float32)


def report(way: str, loaded: Loaded, seconds: float, tokens: int, passed: int, mean: int) -> None:
    """A row of the table. tokens: emitted or weighed. passed: those that went through the model."""
    share = floor_seconds(loaded, passed, mean) / seconds
    print(f"| {way} | {seconds:.1f} | {tokens} | {1000 * seconds / tokens:.0f} | {share:.0%} |", flush=True)


def responses(lm: MaskedLM, masks: Masks, args: argparse.Namespace) -> None:
    """Answer the questions in every way."""
    with args.questions.open(encoding="utf-8") as lines:
        asked = [json.loads(line)["question"] for line, _ in zip(lines, range(args.items), strict=False)]
    texts = [render(lm.loaded.tokenizer, [{"role": "user", "content": text + ASKED}]) for text in asked]
    ids, rows = [lm.lm.tok_encode(text) for text in texts], []
    for name in args.ways:
        way = getattr(lm, WAYS[name])
        before, started = way.tokens, time.process_time()
        with torch.inference_mode():
            found = dict(way.answer(ids, masks, ["Question:"], args.new_tokens, args.batch))
        seconds = time.process_time() - started
        answers = [found[place][mask] for place in sorted(found) for mask in masks]
        emitted = [row[: tokens_before_end(row, lm.ends)] for row in answers]
        rows.append(emitted)
        mean = (sum(map(len, ids)) // len(ids)) + args.new_tokens // 2
        report(name, lm.loaded, seconds, sum(map(len, emitted)), way.tokens - before, mean)
    for other in rows[1:]:
        same = sum(one == two for one, two in zip(rows[0], other, strict=True))
        print(f"same responses: {same} of {len(other)}")


def perplexity(lm: MaskedLM, masks: Masks, args: argparse.Namespace) -> None:
    """Weigh the first tokens of a text."""
    pairs = windows(lm, args.text.read_text(encoding="utf-8"), args.tokens)
    started = time.process_time()
    for pair in pairs:
        lm.loglikelihoods([pair], masks)
    seconds = time.process_time() - started
    mean = sum(len(continuation) for _, continuation in pairs) // len(pairs) // 2
    report("perplexity", lm.loaded, seconds, lm.tokens, lm.tokens, mean)


def main() -> None:
    """Measure what was asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--text", type=Path, help="a text whose perplexity is measured")
    parser.add_argument("--tokens", type=int, default=1024, help="of the text")
    parser.add_argument("--items", type=int, default=16)
    parser.add_argument("--head-sets", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16, help="questions at a time")
    parser.add_argument("--new-tokens", type=int, default=200)
    parser.add_argument("--ways", choices=WAYS, nargs="+", default=list(WAYS))
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    loaded = checkpoint(args.model, "cpu", "float32")
    lm = MaskedLM(loaded, chat=bool(args.questions))
    masks = {name: mask or HeadMask(()) for name, mask in head_sets(loaded, args.head_sets).items()}
    print("| way | CPU seconds | tokens | ms a token | share of the floor |\n|---|---|---|---|---|")
    if args.questions:
        responses(lm, masks, args)
    if args.text:
        perplexity(lm, masks, args)


if __name__ == "__main__":
    main()
