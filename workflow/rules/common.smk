# Paths, look-ups and resource functions that several rule files share. Reads the config and nothing else.
import json
import os
import sys
from pathlib import Path

BASE = Path(workflow.basedir)
SCRIPTS = BASE / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from retrieval_heads.cards import visible_cards
from retrieval_heads.configuration import ConfigError, checked, list_haystacks, read_schema, unpinned
from retrieval_heads.costs.resources import CostError, job_resources
from retrieval_heads.tasks.sources import HARNESS, modes_of, source_of


def located(path):
    """A file of the repository as seen from the working directory (they differ under --directory)."""
    return path if Path(path).exists() else os.path.relpath(BASE / path)


# Checkpoints made here; a model of the config may name them before they exist.
PHANTOM_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "phantom.json"]
BUILT = {"results/models/phantom": PHANTOM_FILES}

# As it was written: laid over the default again it gives the same, because what was taken away is still named.
WRITTEN_CONFIG = config

try:
    config = checked(config, read_schema(BASE / "workflow/schemas/config.schema.yaml"), located, BUILT)
except ConfigError as error:
    raise WorkflowError(f"The configuration cannot be used:\n{error}")

# Said once a run, not by each of its jobs.
UNPINNED = unpinned(config["models"])
if workflow.is_main_process:
    for warning in UNPINNED:
        logger.warning(warning)

# Models that run, with head scores measured here or given; models whose head scores were made elsewhere; both.
# Sorted, so that the order of the entries changes nothing.
MODELS = sorted(config["models"])
GIVEN = sorted(config["head_scores"]["models"])
SCORED = sorted({*MODELS, *GIVEN})
DETECTED = [model for model in MODELS if model not in GIVEN]
ENTRIES = {**config["head_scores"]["models"], **config["models"]}
HUB_MODELS = [model for model, entry in config["models"].items() if "hub" in entry]
LABELS = {model: entry.get("label", model) for model, entry in ENTRIES.items()}
# Model -> family; a model without one is a family of its own.
FAMILIES = {model: ENTRIES[model].get("family", LABELS[model]) for model in SCORED}
HAYSTACKS = [str(path) for path in list_haystacks(Path(located(config["haystacks"]["folder"])))]
NEEDLES = located(config["needles"])

# Downstream tasks -> their modes, and every (model, task, mode) that is asked.
TASK_FILES = BASE / "workflow" / "tasks"
TASKS = {task: modes_of(task, TASK_FILES) for task in config.get("downstream", {}).get("tasks", [])}
ASKED_MODELS = sorted(config["downstream"]["models"] or MODELS) if TASKS else []
ASKED = [
    {"model": model, "task": task, "mode": mode} for model in ASKED_MODELS for task in TASKS for mode in TASKS[task]
]
# Of every rule that runs a model on a GPU.
ENGINE_ENVIRONMENT = f"../../envs/{config['environment']}.yaml"


wildcard_constraints:
    model="[A-Za-z0-9][A-Za-z0-9._-]*",
    experiment="detection|masked|calibration",
    needle="[^/]+",


def core(*modules):
    """The core files that a rule depends on, as inputs, so that an edit reruns what it can change and no more."""
    return [located(f"workflow/scripts/retrieval_heads/{module}.py") for module in modules]


# Core files that read and write results/head_score/<model>.json and its sidecar.
OWN_FORMAT = [
    "head_scores",
    "needle_blocks",
    "head_score_formats/columns",
    "head_score_formats/own",
    "head_score_formats/released",
]

# Core files of the long tables over all models.
SUMMARIES = [
    f"statistics/{module}" for module in ("agreement", "masked_contrasts", "masked_curves", "reliability", "summaries")
]


def as_param(value):
    """A rule parameter that changes exactly when its content does (not with the order of keys).

    Params give it by a function: in a plain string Snakemake would take the braces for wildcards.
    """
    return json.dumps(value, sort_keys=True)


def get_entry(model):
    """What the config says of a model; a variant has no entry of its own."""
    return config["models"][BASES.get(model, model)]


def get_checkpoint(wildcards):
    """The folder that holds a model's checkpoint."""
    model = BASES.get(wildcards.model, wildcards.model)
    path = config["models"][model].get("path", f"results/models/{model}")
    return path if path.startswith("results/") else located(path)


def get_model_spec(wildcards):
    """What of a model's entry changes its results: not its label, not its number of cards."""
    entry = get_entry(wildcards.model)
    return as_param({key: entry[key] for key in ("dtype", "attention", "quantization", "rope", "window")})


def get_lengths(model, experiment):
    """Lengths of an experiment in tokens; a model may have its own. The calibration is the phantom's alone."""
    own = None if experiment == "calibration" else get_entry(model).get("lengths")
    return own or config[experiment]["lengths"]


def get_plan_settings(wildcards):
    """What the plan of a study follows from."""
    parts = {key: config[key] for key in ("detection", "masked", "head_sets", "prompt")}
    parts["sum_attention"] = get_fact_plan()
    planned = {model: get_entry(model) for model in [*MODELS, *QUIRKS]}
    return as_param(
        {
            "config": {**parts, "models": planned, "haystacks": {"texts": len(HAYSTACKS)}},
            "architectures": {model: get_architecture(model) for model in planned},
            "detected": [*DETECTED, *(variant for variant in QUIRKS if acting(QUIRKS[variant], CELL_STAGES))],
            "plan": config["plan"],
        }
    )


def steps_output(path):
    """The per-step table among a job's outputs, where the config asks for it."""
    return {"steps": path} if config["detection"]["steps"] else {}


def get_folder(wildcards):
    """Where the side files of an experiment lie; a shard's too."""
    return f"results/{wildcards.model}/{wildcards.experiment}"


def get_shard(wildcards):
    """The needle of a job that computes the cells of one needle only; empty for all."""
    return getattr(wildcards, "needle", "")


def get_shards(wildcards):
    """The jobs that fill a job's cells, one a needle, where the model's entry asks for them."""
    if get_shard(wildcards) or not get_entry(wildcards.model)["shards"]:
        return []
    kind = "runs" if wildcards.experiment == "masked" else "cells"
    return expand(
        f"results/{wildcards.model}/{wildcards.experiment}/shards/{{needle}}.{kind}.tsv",
        needle=config[wildcards.experiment]["needles"],
    )


def get_checkpoint_files(wildcards):
    """What stands for a checkpoint among a rule's inputs: the files of a folder, or the folder that is fetched."""
    folder = get_checkpoint(wildcards)
    if folder in BUILT:
        return [f"{folder}/{file}" for file in BUILT[folder]]
    if BASES.get(wildcards.model, wildcards.model) in HUB_MODELS:
        return folder
    return sorted(str(path) for path in Path(folder).iterdir() if path.suffix in (".json", ".safetensors", ".model"))


def get_grid(wildcards):
    """The cells of one experiment, and how the length is spent: exactly what decides its placement."""
    part = config[wildcards.experiment]
    calibration = wildcards.experiment == "calibration"
    return as_param(
        {
            "needles": part["needles"],
            "lengths": get_lengths(wildcards.model, wildcards.experiment),
            "depths": part["depths"],
            # The phantom is measured at lengths that no haystack of the project has; its needles stay unique.
            "repeat_haystack": calibration or config["haystacks"]["repeat"],
            "chat": get_entry(wildcards.model)["chat"],
            **config["prompt"],
            "template": get_entry(wildcards.model).get("template", config["prompt"]["template"]),
        }
    )


def get_head_sets(wildcards):
    """The head sets of a study come from the ranking; those of the calibration from the phantom's plan."""
    own = "calibration/" if wildcards.experiment == "calibration" else ""
    return f"results/{wildcards.model}/{own}head_sets.json"


def get_given_files(wildcards):
    """The file of head scores made elsewhere, and the sidecar of one that this workflow made."""
    entry = config["head_scores"]["models"][wildcards.model]
    file = Path(config["head_scores"]["folder"]) / entry["file"]
    sidecar = [file.with_suffix(".meta.json")] if entry["format"] == "own" else []
    return [located(str(path)) for path in (file, *sidecar)]
