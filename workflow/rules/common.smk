# The config, and what several rule files ask of it.
import json
import os
import sys
from functools import cache
from pathlib import Path

BASE = Path(workflow.basedir)
SOURCE, SCRIPTS = BASE / "src", BASE / "workflow" / "scripts"
# The package is found here, and by every job and notebook through PYTHONPATH.
sys.path.insert(0, str(SOURCE))
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [str(SOURCE), os.getenv("PYTHONPATH")])))

from retrieval_heads.config.validation import ConfigError, checked, list_haystacks, read_schema, unpinned
from retrieval_heads.config.given_files import given_file_faults
from retrieval_heads.downstream.tasks.sources import unasked_sources
from retrieval_heads.sources.gguf_header import GgufError, read_header
from retrieval_heads.sources.haystack_sources import source_name
from retrieval_heads.models.checkpoint.files import deciding_files
from retrieval_heads.running.code_digest import code_digest
from retrieval_heads.config.conda import NO_CONDA, has_conda


def located(path):
    """A file of the repository as seen from the working directory (they differ under --directory)."""
    return path if Path(path).exists() else os.path.relpath(BASE / path)


# Checkpoints made here; a model of the config may name them before they exist.
PHANTOM_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "phantom.json"]
BUILT = {"results/models/phantom": PHANTOM_FILES}

# The config before defaults are filled in. Applied on top of the default config again, it gives the same config: it
# still names the models that were removed.
WRITTEN_CONFIG = config

try:
    config = checked(config, read_schema(BASE / "workflow/schemas/config.schema.yaml"), located, BUILT)
except ConfigError as error:
    raise WorkflowError(f"The configuration cannot be used:\n{error}")

# A fault of the machine, said before Snakemake asks conda itself.
DEPLOYMENT = {method.item_to_choice() for method in workflow.deployment_settings.deployment_method}
if "conda" in DEPLOYMENT and "apptainer" not in DEPLOYMENT and not has_conda():
    raise WorkflowError(NO_CONDA)

# Once a run, not by each of its jobs: every file of scores and head sets made elsewhere is read before the first job.
if workflow.is_main_process:
    broken = given_file_faults(config, located)
    if broken:
        raise WorkflowError("\n".join(["Files that were made elsewhere cannot be used:", *broken]))

# Said once a run, not by each of its jobs.
UNPINNED = unpinned(config["models"])
if workflow.is_main_process:
    for warning in [*UNPINNED, *unasked_sources(config)]:
        logger.warning(warning)

# Models that run, with head scores measured here or given; models whose head scores were made elsewhere; both.
# Sorted, so that the order of the entries changes nothing.
MODELS = sorted(config["models"])
GIVEN = sorted(config["head_scores"]["models"])
SCORED = sorted({*MODELS, *GIVEN})
DETECTED = [model for model in MODELS if model not in GIVEN]
ENTRIES = {**config["head_scores"]["models"], **config["models"]}
# Checkpoints that are fetched whole, and those converted from one file (GGUF), wherever it comes from.
GGUF_MODELS = [model for model, entry in config["models"].items() if "gguf" in entry or "package" in entry]
HUB_MODELS = [model for model, entry in config["models"].items() if "hub" in entry and model not in GGUF_MODELS]
GGUF_FILES = "results/downloads"
# A local file that is damaged is refused before any job runs, by the main process alone: it may be large.
for model in GGUF_MODELS if workflow.is_main_process else []:
    if not {"hub", "package"} & {*config["models"][model]}:
        try:
            read_header(Path(located(config["models"][model]["gguf"])), f"models.{model}.gguf")
        except GgufError as error:
            raise WorkflowError(f"The configuration cannot be used:\n{error}")
LABELS = {model: entry.get("label", model) for model, entry in ENTRIES.items()}
# Model -> family; a model without one is a family of its own.
FAMILIES = {model: ENTRIES[model].get("family", LABELS[model]) for model in SCORED}
# The texts of a folder as they are, or one text that is joined from those of a folder or of a package. A study of given
# head scores alone reads none.
FOLDER = config["haystacks"].get("folder")
TEXTS = [str(path) for path in list_haystacks(Path(located(FOLDER)))] if FOLDER and MODELS else []
JOINED = config["haystacks"]["join"] and MODELS
HAYSTACKS = [f"results/haystacks/{source_name(config['haystacks'])}.txt"] if JOINED else TEXTS
NEEDLES = located(config["needles"])

# Of every rule that runs a model on a GPU.
ENGINE_ENVIRONMENT = f"../../envs/{config['environment']}.yaml"
# Config `sum_attention`, None without it, and its models.
FACTS = config.get("sum_attention")
FACT_MODELS = sorted(FACTS["models"] or MODELS) if FACTS else []

# Config `quirks` only: variants of models, measured once more with differences of the released code.
QUIRKED, VARIANTS = [], {}
if "quirks" in config:
    from retrieval_heads.replication.quirks import CELL_STAGES, acting, variants

    QUIRKED = sorted(config["quirks"]["models"] or MODELS)
    VARIANTS = variants(QUIRKED, config["quirks"]["names"])
# Variant -> its quirks, and the model that it is a variant of.
QUIRKS = {variant: names for of_model in VARIANTS.values() for variant, names in of_model.items()}
BASES = {variant: model for model, of_model in VARIANTS.items() for variant in of_model}


wildcard_constraints:
    model="[A-Za-z0-9][A-Za-z0-9._-]*",
    experiment="detection|masked|calibration",
    needle="[^/]+",


# Asked for every job; the code is as it was when Snakemake was started.
digest_once = cache(code_digest)


def get_code(script):
    """Digest of a script and of all code that it imports, as a rule's param: an edit of either reruns the rule.

    The replication of the released code counts for its variants alone.
    """

    def digest(wildcards):
        guest = script.startswith("replication/") or getattr(wildcards, "model", None) in QUIRKS
        return digest_once(SCRIPTS / f"{script}.py", SOURCE, () if guest else ("retrieval_heads.replication",))

    return digest


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
    """What stands for a checkpoint among a rule's inputs: the files of a folder, or the folder that a rule makes."""
    folder = get_checkpoint(wildcards)
    if folder in BUILT:
        return [f"{folder}/{file}" for file in BUILT[folder]]
    if BASES.get(wildcards.model, wildcards.model) in [*HUB_MODELS, *GGUF_MODELS]:
        return folder
    return [str(path) for path in deciding_files(Path(folder))]


def get_rendering(model):
    """How a model's prompts open, and what its chat template is told: where it has none to fill in, nothing."""
    entry = get_entry(model)
    told = {"date": config["prompt"]["date"], "think_end": entry["think_end"]} if entry["chat"] else {}
    return {"opening": entry["opening"], **told}


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
            "rendering": get_rendering(wildcards.model),
            **{key: config["prompt"][key] for key in ("reserve_tokens", "max_new_tokens")},
            "template": get_entry(wildcards.model).get("template", config["prompt"]["template"]),
        }
    )


def get_quirks(*stages):
    """The quirks of a variant that act in some stages, for a rule's params; none for any other model."""
    return lambda wildcards: acting(QUIRKS[wildcards.model], stages) if wildcards.model in QUIRKS else []
