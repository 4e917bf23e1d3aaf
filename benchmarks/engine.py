"""The engine against the naive way and against the cost of just answering, on the same cells in one run.

    python benchmarks/engine.py                              the organism
    python benchmarks/engine.py --shape small --lengths 512 1024 2048        a random Llama, 27 M parameters
    python benchmarks/engine.py --shape llama-2-7b --dtype bfloat16 --lengths 1000 10000 50000
    python benchmarks/engine.py --head-sets 30 --depths 0 50 100             a masking curve of 30 head sets
    python benchmarks/engine.py --model CHECKPOINT --chat --haystack TEXT --needles san_francisco lighthouse \\
        --lengths 512 1024 --depths 0 50 100                                 a real model, two needles

A real model is a folder or a GGUF file.
Ways: `naive` (tokenize each cell again, full prefill, attention matrices while decoding, a Python loop over heads),
`generate` (transformers alone, no scores), `peer` (QRHead's score, no answer), `full` (the engine without reuse of
prefixes), `reused` (the engine).
With head sets every cell is answered once under each, one of them unmasked. Each way runs in a process of its own, so
that its peak memory is its own. `--write` appends to a file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from floor import Clock, product_rate
from random_models import ORGANISM, ROOT, SHAPES, checkpoint, random_llama
from ways import WAYS, measure

from retrieval_heads.models import loading as models
from retrieval_heads.models.usage import peak_of_process
from retrieval_heads.prompts.cells import Prompt
from retrieval_heads.prompts.haystacks import tokenize
from retrieval_heads.prompts.needles import Needle, choose, read_needles
from retrieval_heads.prompts.placement import Grid, cut_pieces, place, place_grid, prepare

TEMPLATE = "{context}\nBased on the content of the book, Question: {question}\nAnswer:{cue}"
RESERVE = 128


def load(args: argparse.Namespace) -> models.Loaded:
    """The checkpoint, or a Llama of a shape with random weights."""
    if not args.shape:
        return checkpoint(args.model, args.device, args.dtype)
    return random_llama(args.shape, max(args.lengths) + args.new_tokens, args.device, args.dtype)


def cells(tokenizer, args: argparse.Namespace) -> tuple[list[Prompt], Callable[[Prompt], tuple]]:
    """The needles in one haystack over the grid, and a function that makes a cell again from the texts."""
    table = read_needles(ROOT / "resources" / "needles.tsv")
    needles = choose(table, args.needles or list(table)[:1], "--needles")
    text = args.haystack.read_text(encoding="utf-8")
    grid = Grid(tuple(args.lengths), tuple(args.depths), RESERVE, args.new_tokens, True)

    def parts(needle: Needle):
        template = TEMPLATE.replace("{cue}", "") if args.chat else TEMPLATE
        pieces = cut_pieces(needle, tokenizer, template, args.chat)
        return prepare(needle.needle, tokenize("town", text, tokenizer), pieces, grid, None), pieces

    def again(prompt: Prompt) -> tuple[tuple[int, ...], tuple[int, ...]]:
        cell = prompt.cell
        haystack, pieces = parts(table[cell.needle])
        made = place(cell.needle, haystack, pieces, cell.length, cell.depth, cell.length - RESERVE)
        return made.ids, pieces.needle

    return [prompt for needle in needles for prompt in place_grid(needle.needle, *parts(needle), grid)], again


def one(args: argparse.Namespace) -> None:
    """Measure one way after a first cell that is not counted; prints the result as JSON."""
    loaded = load(args)
    prompts, again = cells(loaded.tokenizer, args)
    measure(args.one, loaded, prompts[:1], again, 2, min(args.head_sets, 2))
    rate = product_rate(Clock(args.device), args.device, loaded.model.dtype) * torch.get_num_threads()
    result = measure(args.one, loaded, prompts, again, args.new_tokens, args.head_sets) | {"rate": rate}
    if args.device == "cpu":
        result["memory"] = peak_of_process()
    else:
        result["memory"] = torch.cuda.max_memory_allocated()
    print(json.dumps(result))


def floor(result: dict, count: int) -> str:
    """What the engine cannot do without, at the rate of products that was measured beside it, and how near it came."""
    least = result["flop"] / result["rate"]
    text = f"Floor: {least / count:.3f} s a cell ({result['prefilled']} tokens prefilled, {result['emitted']} emitted, "
    return (
        text
        + f"products of {result['rate'] / 1e9:.0f} GFLOP/s); the engine takes it {result['cpu'] / least:.2f} times.\n"
    )


def table(results: list[dict], count: int) -> str:
    """Markdown, one row per way. Ratios are of CPU seconds; answers are compared with the first way's."""
    base = {result["way"]: result["cpu"] for result in results}.get("generate")
    lines = [
        "| way | seconds per cell | CPU seconds | ratio to generate | tokens prefilled | peak, MiB | same answers |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        first = results[0]["answers"]
        same = sum(result["answers"].get(name) == answer for name, answer in first.items())
        ratio = f"{result['cpu'] / base:.2f}" if base else ""
        row = [result["way"], f"{result['seconds'] / count:.3f}", f"{result['cpu'] / count:.3f}", ratio]
        row += [str(result["prefilled"]), f"{result['memory'] / 2**20:.0f}"]
        row += [f"{same} of {len(first)}" if result["answers"] else "none"]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ORGANISM, help="a checkpoint or a GGUF file")
    parser.add_argument("--shape", choices=SHAPES, help="random weights of this shape instead of a checkpoint")
    parser.add_argument("--chat", action="store_true", help="ask in the model's chat template, without a cue")
    parser.add_argument("--haystack", type=Path, default=ROOT / "resources" / "haystacks" / "town.txt")
    parser.add_argument("--needles", nargs="+", help="names in resources/needles.tsv; the first one")
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 448, 640, 832, 1024])
    parser.add_argument("--depths", type=int, nargs="+", default=[0, 11, 22, 33, 44, 56, 67, 78, 89, 100])
    parser.add_argument("--new-tokens", type=int, default=50)
    parser.add_argument("--head-sets", type=int, default=0, help="masked runs under so many head sets, not detection")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--ways", choices=WAYS, nargs="+", default=list(WAYS))
    parser.add_argument("--write", type=Path, help="append the table, under its command, to this file")
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.head_sets:  # masked runs know no such ways
        args.ways = [way for way in args.ways if way not in ("full", "peer")]
    return args


def main() -> None:
    """Run every way that was asked for, each in a process of its own, and print the table."""
    args = arguments()
    transformers.logging.set_verbosity_error()
    if args.one:
        one(args)
        return
    results = []
    for way in args.ways:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", way]
        results.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1]))
    count = len(args.lengths) * len(args.depths) * len(args.needles or [1])
    text = table(results, count)
    if results[-1]["way"] == "reused" and args.device == "cpu":
        text += "\n" + floor(results[-1], count)
    print(text)
    if args.write:
        shown = [arg for arg in sys.argv[1:] if arg not in ("--write", str(args.write))]
        where = f"{torch.get_num_threads()} of {os.cpu_count()} CPU cores" if args.device == "cpu" else args.device
        with args.write.open("a", encoding="utf-8") as page:
            page.write(f"\n`{' '.join(['python benchmarks/engine.py', *shown])}` ({where}):\n\n{text}")


if __name__ == "__main__":
    main()
