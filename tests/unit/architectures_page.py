"""The page of tested architectures, made from what a test run found."""

from __future__ import annotations

import torch
import transformers
from retrieval_heads.architecture import ONE_BLOCK_ONLY, UNSUPPORTED
from transformers.cache_utils import DynamicCache, DynamicLayer


def reuse_of(facts, config) -> str:
    """How a family's cache is cut back to a shared prefix."""
    if not facts.takes_blocks:
        return "full prefill"
    layers = DynamicCache(config=config).layers
    return "cut" if all(type(layer) is DynamicLayer for layer in layers) else "cut + copy of small layers"


def yes(value: bool | None) -> str:
    """A cell of the table: not every run tests everything."""
    return {True: "yes", False: "NO", None: "not run"}[value]


def page(found: dict[str, dict]) -> str:
    """Markdown. `found`: family -> facts, error, argmax, greedy, reuse, as the tests fill them in."""
    import tiny_models

    lines = [
        "# Architectures",
        "",
        "Any causal model of transformers whose attention goes through its attention interface can be probed and masked.",
        "This page is printed by the test run (`pytest tests/unit --write-docs`), on tiny random models built from",
        f"configuration objects, in float32, with transformers {transformers.__version__} and torch {torch.__version__}.",
        "",
        "Rows: the largest difference between the probe's attention rows and eager attention's, over every layer, head and",
        "key, for single steps and for blocks of tokens. Argmax: every head points at the same key. Greedy: the tokens are those",
        "of `generate`. Reuse: same tokens and scores as a full prefill, and how the cache is brought back to a shared prefix.",
        "",
        "| family | prefill | layers with attention | rows | argmax | greedy | reuse | how |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for family, row in sorted(found.items()):
        facts = row["facts"]
        without = sorted(set(range(facts.layers)) - set(facts.attention_layers))
        layers = "all" if not without else f"all but {', '.join(map(str, without))} of {facts.layers}"
        lines.append(
            f"| {family} | {facts.kernel} | {layers} | {row['error']:.0e} | {yes(row['argmax'])} | "
            f"{yes(row.get('greedy'))} | {yes(row.get('reuse'))} | {reuse_of(facts, tiny_models.config(family))} |"
        )
    lines += [
        "",
        "Layers without softmax attention have no heads, hence no rows in any table. Soft caps (Gemma 2) and attention sinks",
        "(GPT-OSS) are beyond SDPA: these families prefill on their own eager attention in blocks of 512 tokens, or on",
        f"flash attention where it is installed. Prefilled whole every time: {', '.join(sorted(ONE_BLOCK_ONLY))}.",
        "",
        "## Refused by name, before the run",
        "",
        "| model type | reason |",
        "|---|---|",
        *(f"| {family} | {reason} |" for family, reason in sorted(UNSUPPORTED.items())),
        "",
        "Any other type is tried on two tokens when it is loaded, and refused when its attention does not go through the",
        "interface, when it attends twice in a layer, or when a layer has no output projection of its own.",
        "",
    ]
    return "\n".join(lines)
