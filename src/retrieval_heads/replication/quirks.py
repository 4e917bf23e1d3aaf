"""What the released code of Wu et al. 2024 does differently, each difference to be switched on by its name.

Source: https://github.com/nightdessert/Retrieval_Head (retrieval_head_detection.py, needle_in_haystack_with_mask.py).
A model of the config that is measured with quirks gets variants: models of their own by name, `<model>--<variant>`, on
the same checkpoint. Light on purpose: the Snakefile asks for the names while it is parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

STAGES = ("tokenize", "place_detection", "place_masked", "detect", "aggregate", "select", "mask")

# Quirk -> the stages in which it acts; docs/replication.md says what each does.
QUIRKS: dict[str, tuple[str, ...]] = {
    "json_haystack": ("tokenize",),
    "fixed_sentence_ends": ("tokenize",),
    "bos_literal": ("place_detection", "place_masked"),
    "zero_length": ("place_masked",),
    "overlap_window": ("detect",),
    "no_end_token": ("detect", "mask"),
    "count_repeats": ("aggregate",),
    "zero_query": ("mask",),
    "random_of_32": ("select",),
    "random_not_excluded": ("select",),
    "random_redrawn": ("select", "mask"),
}
NONE, ALL = "none", "all"
PROMPT_STAGES = ("tokenize", "place_detection", "place_masked")
CELL_STAGES = ("tokenize", "place_detection", "detect")


def variants(models: Iterable[str], names: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Model -> its variants -> their quirks: none of them, each alone, and all together where there are several."""
    each = {NONE: ()} | {name: (name,) for name in names} | ({ALL: tuple(names)} if len(names) > 1 else {})
    return {model: {f"{model}--{variant}": quirks for variant, quirks in each.items()} for model in models}


def acting(quirks: Sequence[str], stages: Sequence[str]) -> list[str]:
    """Those of `quirks` that act in any of `stages`."""
    return [name for name in quirks if set(QUIRKS[name]) & set(stages)]


def untouched(of_variants: Mapping[str, Sequence[str]], stages: Sequence[str]) -> list[str]:
    """The variants whose files of `stages` are those of their model without quirks."""
    return [variant for variant, quirks in of_variants.items() if not acting(quirks, stages)]


def quirk_faults(config: Mapping) -> list[str]:
    """What the schema cannot see about `quirks`: a model that is not run, a score that is not computed."""
    unknown = [name for name in config["quirks"]["models"] or () if name not in config["models"]]
    faults = [f"quirks.models: '{name}' is not under models; add it there or remove it here" for name in unknown]
    if "copy_set" not in config["detection"]["scores"]:
        faults.append("quirks: without quirks heads are ranked by copy_set; add it to detection.scores")
    return faults
