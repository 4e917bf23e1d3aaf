"""Responses under head sets: prompts and head sets as rows of one batch, against one head set after the other.

    python benchmarks/downstream.py --model CHECKPOINT --questions QUESTIONS.jsonl

QUESTIONS: one object a line with a `question`. Both ways answer the same chats in one process; CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import transformers
from random_models import checkpoint
from ways import head_sets

from retrieval_heads.downstream.lm.masked import MaskedLM
from retrieval_heads.downstream.lm.padded_batches import tokens_before_end
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.prompts.encoding.chat import render

ASKED = "\nThink step by step and give the number at the end."


def measured(answer, prompts, masks, *options) -> tuple[float, dict[str, list[list[int]]]]:
    """CPU seconds of one way, and its token ids: of every head set those of all prompts."""
    started = time.process_time()
    with torch.inference_mode():
        found = dict(answer(prompts, masks, *options))
    return time.process_time() - started, {name: [found[n][name] for n in range(len(prompts))] for name in masks}


def main() -> None:
    """Answer in both ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--items", type=int, default=16)
    parser.add_argument("--head-sets", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16, help="questions at a time")
    parser.add_argument("--new-tokens", type=int, default=200)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    loaded = checkpoint(args.model, "cpu", "float32")
    lm, masks = MaskedLM(loaded, chat=True), head_sets(loaded, args.head_sets)
    masks = {name: mask or HeadMask(()) for name, mask in masks.items()}
    with args.questions.open(encoding="utf-8") as lines:
        asked = [json.loads(line)["question"] for line, _ in zip(lines, range(args.items), strict=False)]
    texts = [render(loaded.tokenizer, [{"role": "user", "content": text + ASKED}]) for text in asked]
    ids = [lm.lm.tok_encode(text) for text in texts]
    results = {}
    for way, answer in (("one after the other", lm.padded.answer), ("rows of one batch", lm.side_by_side.answer)):
        seconds, found = measured(answer, ids, masks, ["Question:"], args.new_tokens, args.batch)
        results[way] = [[row[: tokens_before_end(row, lm.ends)] for row in rows] for rows in found.values()]
        tokens = sum(len(row) for rows in results[way] for row in rows)
        print(f"| {way} | {seconds:.1f} | {tokens} | {1000 * seconds / tokens:.0f} |")
    first, second = results.values()
    pairs = [pair for rows in zip(first, second, strict=True) for pair in zip(*rows, strict=True)]
    print(f"same responses: {sum(one == other for one, other in pairs)} of {len(pairs)}")


if __name__ == "__main__":
    main()
