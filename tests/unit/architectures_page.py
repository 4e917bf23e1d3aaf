"""The page of tested architectures, made from what a test run found."""

from __future__ import annotations

from retrieval_heads.refusals import ONE_BLOCK_ONLY, UNSUPPORTED
from transformers.cache_utils import DynamicCache, DynamicLayer

TOP = """# Architectures

Which model families were tested? Any causal model that uses transformers' attention interface can be probed and masked.
`pytest tests/unit --write-docs` prints this page for tiny random models in float32 (transformers {transformers}, torch
{torch}).

- **prefill**: kernel without flash attention.
- **rows**: largest difference from eager attention; **argmax**: every head has the same maximum.
- **greedy**: the tokens equal those of `generate`.
- **masks**: the logits equal a float64 reference, in all modes and scopes.
- **reuse**: tokens and scores equal a full prefill; **how** the cache returns to a shared prefix: *cut*, *copy* of small
  layers (windows, recurrent states), or *none* (full prefill).
- **batch**: whether the head sets of a batch share the prompt's keys.
- **cells**: whether detection decodes short cells in one batch (*side by side*).

| family | prefill | layers with attention | rows | argmax | greedy | masks | reuse | how | batch | cells |
|---|---|---|---|---|---|---|---|---|---|---|
"""
BOTTOM = """
Layers without softmax attention have no rows in any table. Soft caps (Gemma 2) and attention sinks (GPT-OSS) need flash
attention or eager attention in blocks of 512 tokens. Always prefilled in full: {whole}. In BitNet a norm follows the heads: a
masked head adds nothing after it, but is part of the norm.

## Refused before the run

| model type | reason |
|---|---|
{refused}

Other types are tried on two tokens when loaded. They are refused if attention bypasses the interface, a layer attends
twice, or a layer has no output projection.
"""


def reuse_of(facts, config) -> str:
    """How a family's cache is cut back to a shared prefix."""
    if not facts.takes_blocks:
        return "none"
    plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)
    return "cut" if plain else "cut, copy"


def layers_of(facts) -> str:
    """Which layers have attention."""
    without = sorted(set(range(facts.layers)) - set(facts.attention_layers))
    return f"all but {', '.join(map(str, without))} of {facts.layers}" if without else "all"


def page(found: dict[str, dict], configs: dict, versions: dict[str, str]) -> str:
    """Markdown. `found`: family -> facts, error, argmax, greedy, masks, reuse, cells, as the tests fill them in."""
    verdicts = {True: "yes", False: "NO", None: "not run"}
    lines = []
    for family, row in sorted(found.items()):
        facts = row["facts"]
        tested = [verdicts[row.get(name)] for name in ("argmax", "greedy", "masks", "reuse")]
        how = [reuse_of(facts, configs[family]), "shared" if facts.shareable else "copied"]
        together = "side by side" if facts.takes_back else "one by one"
        how.append(together if row.get("cells") else verdicts[row.get("cells")])
        cells = [family, facts.kernel, layers_of(facts), f"{row['error']:.0e}", *tested, *how]
        lines.append(f"| {' | '.join(cells)} |\n")
    refused = "\n".join(f"| {family} | {reason} |" for family, reason in sorted(UNSUPPORTED.items()))
    return TOP.format(**versions) + "".join(lines) + BOTTOM.format(whole=", ".join(ONE_BLOCK_ONLY), refused=refused)
