"""The page of tested architectures, made from what a test run found."""

from __future__ import annotations

from transformers.cache_utils import DynamicCache, DynamicLayer

from retrieval_heads.models.unsupported import ONE_BLOCK_ONLY, UNSUPPORTED

TOP = """# Architectures

Which model families were tested? Any causal model that uses transformers' attention interface can be probed and masked.
`pytest tests/unit --write-docs` prints this page for tiny random models in float32 (transformers {transformers}, torch
{torch}).

- **prefill**: kernel without flash attention.
- **rows**: largest difference from eager attention.
- **agrees**: every head's maximum with eager attention, the tokens with `generate`, masked logits with a float64
  reference in all modes and scopes, tokens and scores with reused prefixes with those of a full prefill.
- **reuse**: how the cache returns to a shared prefix: *cut*, *copy* of small layers (windows, recurrent states), or
  *none* (full prefill).
- **batch**: whether the head sets of a batch share the prompt's keys.
- **cells**: whether detection decodes short cells in one batch (*side by side*).

| family | prefill | layers with attention | rows | agrees | reuse | batch | cells |
|---|---|---|---|---|---|---|---|
"""
BOTTOM = """
Layers without softmax attention have no rows in any table. Soft caps (Gemma 2) and attention sinks (GPT-OSS) need flash
attention or eager attention in blocks of 512 tokens. Always prefilled in full: {whole}. In BitNet a norm follows the
heads: a masked head adds nothing after it, but is part of the norm.

## Refused before the run

| model type | reason |
|---|---|
{refused}

Other types are tried on two tokens when loaded. They are refused if attention bypasses the interface, a layer attends
twice, or a layer has no output projection.
"""


def reuse_of(info, config) -> str:
    """How a family's cache is cut back to a shared prefix."""
    if not info.takes_blocks:
        return "none"
    plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)
    return "cut" if plain else "cut, copy"


def layers_of(info) -> str:
    """Which layers have attention."""
    without = sorted(set(range(info.layers)) - set(info.attention_layers))
    return f"all but {', '.join(map(str, without))} of {info.layers}" if without else "all"


def page(found: dict[str, dict], configs: dict, versions: dict[str, str]) -> str:
    """Markdown. `found`: family -> info, error, argmax, greedy, masks, reuse, cells, as the tests fill them in."""
    verdicts = {True: "yes", False: "NO", None: "not run"}
    lines = []
    for family, row in sorted(found.items()):
        info = row["info"]
        tested = {name: verdicts[row.get(name)] for name in ("argmax", "greedy", "masks", "reuse")}
        others = [f"{name}: {verdict}" for name, verdict in tested.items() if verdict != "yes"]
        how = [reuse_of(info, configs[family]), "shared" if info.shareable else "copied"]
        together = "side by side" if info.takes_back else "one by one"
        how.append(together if row.get("cells") else verdicts[row.get("cells")])
        cells = [family, info.kernel, layers_of(info), f"{row['error']:.0e}", ", ".join(others) or "yes", *how]
        lines.append(f"| {' | '.join(cells)} |\n")
    refused = "\n".join(f"| {family} | {reason} |" for family, reason in sorted(UNSUPPORTED.items()))
    return TOP.format(**versions) + "".join(lines) + BOTTOM.format(whole=", ".join(ONE_BLOCK_ONLY), refused=refused)
