"""The GPU jobs of a study as its config describes them, for the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from retrieval_heads.costs.job import Job
from retrieval_heads.costs.layers import CostError
from retrieval_heads.costs.shape import Shape, read_shape


def study_jobs(
    config: Mapping[str, Any], architectures: Mapping[str, Mapping | None], detected: list[str]
) -> Iterator[Job]:
    """Detection, masked and patched runs of every model, and those of the sum-attention stage, in the order of names.

    config: the checked config, with the number of texts under `haystacks.texts`; its `sum_attention` is None or names
    the stage's models and how many facts each part has (`facts`); its `patched` is None or names the models that are
    patched. architectures: model -> config.json, or None where nothing is known of it. detected: models whose head
    scores are measured here and not given.
    Raises `CostError` for a model without an architecture.
    """
    for model, entry in sorted(config["models"].items()):
        if architectures[model] is None:
            raise CostError(
                f"models.{model}: nothing is known of its architecture; put the numbers of its config.json into "
                f"resources/architectures/{entry.get('hub', model).replace('/', '__')}.json, or fetch the model first"
            )
        shape = read_shape(architectures[model])
        if model in detected:
            yield _job(config, model, shape, "detection", columns=len(config["detection"]["scores"]))
        sets, scope = head_sets(config["head_sets"]), config["masked"]["scope"]
        yield _job(
            config, model, shape, "masked", sets=sets, batch=config["masked"]["batch"], own_prefill=scope == "all"
        )
        if config["patched"] and model in config["patched"]["models"]:
            yield _patched_job(config, model, shape, sets)
        if config["sum_attention"] and model in config["sum_attention"]["models"]:
            yield from _fact_jobs(config, model, shape)


def head_sets(settings: Mapping[str, Any]) -> int:
    """Head sets of a model at most: the unmasked run, and for each size the top, the random draws, maybe the bottom."""
    return 1 + len(settings["sizes"]) * (1 + settings["random_draws"] + settings["bottom"])


def _patched_job(config: Mapping[str, Any], model: str, shape: Shape, sets: int) -> Job:
    """Patched runs of the cells of the masked ones: in place of the unmasked run, no head and all of them."""
    part = config["patched"]
    passes = len(part["directions"]) * len(part["what"])
    return replace(
        _job(config, model, shape, "masked", sets=(sets + 1) * passes, batch=config["masked"]["batch"]),
        rule="run_patching",
        prompts=2,
        keep_weights="weights" in part["what"],
    )


def _fact_jobs(config: Mapping[str, Any], model: str, shape: Shape) -> Iterator[Job]:
    """Identification and validation of one model in every placement; a natural fact stands in a text of its own."""
    stage = config["sum_attention"]
    sets = 2 + stage["random_draws"] + len(stage["lowest"])
    for placement in stage["placements"]:
        natural = placement == "natural"
        common = {
            "lengths": tuple(length + config["prompt"]["max_new_tokens"] for length in stage["lengths"]),
            "depths": (0,) if natural else tuple(stage["depths"]),
            "shares": not natural,
        }
        facts = stage["facts"]
        yield _of_model(
            config,
            model,
            shape,
            f"measure_attention_sums {placement}",
            needles=facts["identification"],
            columns=1,
            **common,
        )
        yield _of_model(
            config,
            model,
            shape,
            f"validate_general_heads {placement}",
            needles=facts["validation"],
            sets=sets,
            batch=config["masked"]["batch"],
            own_prefill=config["masked"]["scope"] == "all",
            **common,
        )


def _job(config: Mapping[str, Any], model: str, shape: Shape, part: str, **of_the_rule) -> Job:
    entry, experiment = config["models"][model], config[part]
    return _of_model(
        config,
        model,
        shape,
        {"detection": "detect_heads", "masked": "run_masked_niah"}[part],
        needles=len(experiment["needles"]),
        lengths=tuple(entry.get("lengths") or experiment["lengths"]),
        depths=tuple(experiment["depths"]),
        **of_the_rule,
    )


def _of_model(config: Mapping[str, Any], model: str, shape: Shape, rule: str, **of_the_rule) -> Job:
    entry = config["models"][model]
    return Job(
        model=model,
        rule=rule,
        shape=shape,
        dtype=entry["dtype"],
        quantization=entry["quantization"],
        haystacks=config["haystacks"]["texts"],
        reserve_tokens=config["prompt"]["reserve_tokens"],
        max_new_tokens=config["prompt"]["max_new_tokens"],
        window=entry["window"] or shape.window,
        limit=entry["gpus"],
        **of_the_rule,
    )
