"""The page of tested architectures, made from what a test run found."""

from __future__ import annotations

from transformers.cache_utils import DynamicCache, DynamicLayer

from retrieval_heads.models.unsupported import ONE_BLOCK_ONLY, UNSUPPORTED

TOP = """# Architectures

Any causal model of transformers whose attention goes through its attention interface can be probed and
masked. This page is printed by the test run (`pytest tests/unit --write-docs`), on tiny random models built
from configuration objects, in float32, with transformers {transformers} and torch {torch}.

- **prefill**: the attention that is chosen without flash attention.
- **rows**: the largest difference between the probe's attention rows and eager attention's, over every layer,
  head and key, for single steps and for blocks of tokens; **argmax**: every head points at the same key.
- **greedy**: the tokens are those of `generate`.
- **masks**: logits equal a float64 reference that uses none of the engine, for zero_output, mean_output and
  zero_query, in both scopes.
- **reuse**: same tokens and scores as a full prefill; **how** the cache is brought back to a shared prefix:
  *cut* by slicing, *copy* of small layers (windows, recurrent states) at the cut, or *none*, which means that
  every prompt is prefilled whole.
- **batch**: *shared* where the rows of a batch of head sets share one copy of the prompt's keys in the layers
  that keep them all, *copied* where each row has its own.
- **cells**: whether detection answers short cells *side by side*, each from its own cache, or *one by one*, since
  nothing can be taken back from a window or a recurrent state; same tokens, scores and steps either way.

| family | prefill | layers with attention | rows | argmax | greedy | masks | reuse | how | batch | cells |
|---|---|---|---|---|---|---|---|---|---|---|
"""
BOTTOM = """
Layers without softmax attention have no heads, hence no rows in any table. Soft caps (Gemma 2) and attention
sinks (GPT-OSS) are beyond SDPA: these families prefill on their own eager attention, in blocks of 512 tokens,
or on flash attention where it is installed. Prefilled whole every time: {whole}. In BitNet a norm stands
between the heads and the output projection; a masked head adds nothing behind it, but takes part in it.

## Refused by name, before the run

| model type | reason |
|---|---|
{refused}

Any other type is tried on two tokens when it is loaded, and refused when its attention does not go through
the interface, when it attends twice in a layer, or when a layer has no output projection of its own.
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
        tested = [verdicts[row.get(name)] for name in ("argmax", "greedy", "masks", "reuse")]
        how = [reuse_of(info, configs[family]), "shared" if info.shareable else "copied"]
        together = "side by side" if info.takes_back else "one by one"
        how.append(together if row.get("cells") else verdicts[row.get("cells")])
        cells = [family, info.kernel, layers_of(info), f"{row['error']:.0e}", *tested, *how]
        lines.append(f"| {' | '.join(cells)} |\n")
    refused = "\n".join(f"| {family} | {reason} |" for family, reason in sorted(UNSUPPORTED.items()))
    return TOP.format(**versions) + "".join(lines) + BOTTOM.format(whole=", ".join(ONE_BLOCK_ONLY), refused=refused)
