# Paths, look-ups and resource functions that several rule files share. Reads the config and nothing else.
import json
import os
import sys
from pathlib import Path

BASE = Path(workflow.basedir)
SCRIPTS = BASE / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from retrieval_heads.configuration import ConfigError, checked, list_haystacks, read_schema


def located(path):
    """A file of the repository as seen from the working directory (they differ under --directory)."""
    return path if Path(path).exists() else os.path.relpath(BASE / path)


# Checkpoints that a rule makes: a model of the config may name them before they exist.
BUILT = {"results/models/phantom": "build_phantom"}

try:
    config = checked(config, read_schema(BASE / "workflow/schemas/config.schema.yaml"), located, BUILT)
except ConfigError as error:
    raise WorkflowError(f"The configuration cannot be used:\n{error}")

MODELS = list(config["models"])
LABELS = {model: entry.get("label", model) for model, entry in config["models"].items()}
HAYSTACKS = [str(path) for path in list_haystacks(Path(located(config["haystacks"]["folder"])))]
NEEDLES = located(config["needles"])


wildcard_constraints:
    model="[A-Za-z0-9][A-Za-z0-9._-]*",
    experiment="detection|masked|calibration",


# On one machine as many GPU jobs run at a time as `--resources gpu=N` says, and one where nothing is said;
# on a cluster the scheduler counts the cards.
resource_scopes:
    gpu="local",


if "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", 1)


def core(*modules):
    """The core files that a rule depends on, as inputs, so that an edit reruns what it can change and no more."""
    return [located(f"workflow/scripts/retrieval_heads/{module}.py") for module in modules]


def as_param(value):
    """A rule parameter that changes exactly when its content does (not with the order of keys).

    Params give it by a function: in a plain string Snakemake would take the braces for wildcards.
    """
    return json.dumps(value, sort_keys=True)


def get_checkpoint(wildcards):
    """The folder that holds a model's checkpoint."""
    entry = config["models"][wildcards.model]
    return located(entry["path"]) if "path" in entry else f"results/models/{wildcards.model}"


def get_model_spec(wildcards):
    """What of a model's entry changes its results: not its label, not its number of cards."""
    entry = config["models"][wildcards.model]
    return as_param({key: entry[key] for key in ("dtype", "attention", "quantization")})


def get_gpus(wildcards):
    """Cards that a model needs."""
    return config["models"][wildcards.model]["gpus"]
