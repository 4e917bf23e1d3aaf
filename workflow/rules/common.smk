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
from retrieval_heads.costs import CostError, job_resources
from retrieval_heads.quirks import CELL_STAGES, PROMPT_STAGES, acting, untouched, variants
from retrieval_heads.tasks_sources import HARNESS, modes_of, source_of


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
# Variants: a model measured once more with quirks of the released code (docs/quirks.md).
QUIRKED = sorted(config["quirks"]["models"] or MODELS) if "quirks" in config else []
VARIANTS = variants(QUIRKED, config["quirks"]["names"]) if QUIRKED else {}
# Variant -> its quirks, and the model that it is a variant of.
QUIRKS = {variant: names for of_model in VARIANTS.values() for variant, names in of_model.items()}
BASES = {variant: model for model, of_model in VARIANTS.items() for variant in of_model}
HAYSTACKS = [str(path) for path in list_haystacks(Path(located(config["haystacks"]["folder"])))]
NEEDLES = located(config["needles"])

# Figure -> the table that it draws.
FIGURES = {
    "head_scores": "head_scores",
    "score_bins": "score_bins",
    "head_locations": "head_locations",
}
# Files of means know nothing of single cells.
OF_MEANS = [model for model in GIVEN if config["head_scores"]["models"][model]["format"] in ("qrhead", "duoattention")]
if len(OF_MEANS) < len(SCORED):
    FIGURES |= {"activation_frequency": "head_scores", "stability": "stability"}
if len(set(FAMILIES.values())) < len(SCORED):
    FIGURES |= {"model_correlation": "model_agreement"}
if DETECTED and len(config["detection"]["scores"]) > 1:
    FIGURES |= {"score_definitions": "score_definitions"}
if MODELS:
    FIGURES |= {"needle_heatmaps": "needle_grid", "masked_curve": "masked_curve", "error_kinds": "error_kinds"}
    FIGURES |= {"copying_head": "copying_head", "case_studies": "case_studies"}
if QUIRKED:
    FIGURES |= {"quirks": "quirks"}
NOTEBOOKS = "workflow/notebooks"
# What the report calls the figures, in the order in which they are read.
TITLES = {
    "needle_heatmaps": "The needle test, before and after masking",
    "copying_head": "How a copying head works",
    "score_bins": "How few heads retrieve",
    "activation_frequency": "How often a head retrieves",
    "head_scores": "Which heads retrieve",
    "model_correlation": "Do models have the same retrieval heads?",
    "masked_curve": "What masking does",
    "error_kinds": "What wrong answers are",
    "extract_qa": "Questions about an article",
    "cot_direct": "Chain of thought against direct answers",
    "case_studies": "What wrong answers look like",
    "score_definitions": "Other definitions of a retrieval score",
    "stability": "How many cells a ranking needs",
    "head_locations": "Where retrieval heads live",
    "quirks": "What quirks of the released code change",
    "sum_attention_depths": "General retrieval heads, by depth",
    "sum_attention_lowest": "Masking heads from the lowest attention sum up",
}

# Downstream tasks -> their modes, and every (model, task, mode) that is asked.
TASK_FILES = BASE / "workflow" / "tasks"
TASKS = {task: modes_of(task, TASK_FILES) for task in config.get("downstream", {}).get("tasks", [])}
ASKED_MODELS = sorted(config["downstream"]["models"] or MODELS) if TASKS else []
ASKED = [
    {"model": model, "task": task, "mode": mode} for model in ASKED_MODELS for task in TASKS for mode in TASKS[task]
]
if ASKED and "extract_qa" in TASKS:
    FIGURES |= {"extract_qa": "downstream"}
if ASKED and any({"direct", "cot"} <= set(modes) for modes in TASKS.values()):
    FIGURES |= {"cot_direct": "downstream"}

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
SUMMARIES = ["agreement", "masked_contrasts", "masked_curves", "reliability", "summaries"]


def get_figure_labels(wildcards):
    """A figure's line in the report: number and title. Two digits, since the report sorts lines as text."""
    return {"figure": f"{1 + list(TITLES).index(wildcards.figure):02d} {TITLES[wildcards.figure]}"}


def as_param(value):
    """A rule parameter that changes exactly when its content does (not with the order of keys).

    Params give it by a function: in a plain string Snakemake would take the braces for wildcards.
    """
    return json.dumps(value, sort_keys=True)


def get_entry(model):
    """What the config says of a model; a variant has no entry of its own."""
    return config["models"][BASES.get(model, model)]


def get_quirks(*stages):
    """The quirks of a variant that act in some stages, for a rule's params; of any other model none."""
    return lambda wildcards: acting(QUIRKS.get(wildcards.model, ()), stages)


def get_placing_quirks(wildcards):
    """Those that act where the needles of one experiment are placed."""
    return acting(QUIRKS.get(wildcards.model, ()), [f"place_{wildcards.experiment}"])


def get_quirk_code(wildcards):
    """The core files of the quirks, as inputs of a variant's jobs."""
    return core(*(f"quirks/{part}" for part in ("controls", "engine", "prompts"))) if wildcards.model in QUIRKS else []


def get_borrowed(*files):
    """Files of the model that a variant is one of."""
    return lambda wildcards: [f"results/{BASES[wildcards.model]}/{file}" for file in files]


def get_ranking_score(wildcards):
    """The score that ranks the heads of a model; variants rank by Eq. 1 of the paper or, with the quirk, by the count."""
    if wildcards.model not in QUIRKS:
        return config["detection"]["rank_by"]
    return "copy_count" if "count_repeats" in QUIRKS[wildcards.model] else "copy_set"


def get_masking(wildcards):
    """How heads are masked."""
    masking = {key: config["masked"][key] for key in ("mode", "scope", "unit")}
    if "zero_query" in QUIRKS.get(wildcards.model, ()):
        masking |= {"mode": "zero_query", "scope": "decode"}
    return as_param(masking)


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


def all_figures_input():
    """Every figure in every format and the table that it draws, the table of claims, and the pages of the report."""
    figures = expand("results/figures/{figure}.{kind}", figure=FIGURES, kind=["pdf", "svg", "png", "tsv"])
    pages = ["claims", "models", *(["masked_contrast"] if MODELS else [])]
    return [*figures, "results/tables/claims.tsv", *(f"results/tables/{page}.html" for page in pages)]


def get_given_files(wildcards):
    """The file of head scores made elsewhere, and the sidecar of one that this workflow made."""
    entry = config["head_scores"]["models"][wildcards.model]
    file = Path(config["head_scores"]["folder"]) / entry["file"]
    sidecar = [file.with_suffix(".meta.json")] if entry["format"] == "own" else []
    return [located(str(path)) for path in (file, *sidecar)]


def exports_input():
    """Every model's head scores in the formats of others; DuoAttention's needs to know which heads share keys."""
    ungrouped = [model for model in GIVEN if "group_size" not in config["head_scores"]["models"][model]]
    grouped = [model for model in SCORED if model not in ungrouped]
    return [
        *expand("results/exports/{model}/{file}", model=SCORED, file=["envelope.json", "qrhead.json"]),
        *expand("results/exports/{model}/full_attention_heads.tsv", model=grouped),
    ]
