# The config: checked, completed, and what follows from it for all rule files.
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

from retrieval_heads.config.validation import ConfigError, checked, read_schema, unpinned
from retrieval_heads.config.faults.given_files import given_file_faults, whole_path
from retrieval_heads.downstream.tasks.sources import unasked_sources
from retrieval_heads.sources.gguf.header import GgufError, read_header, refuse_unread
from retrieval_heads.sources.haystack_sources import list_haystacks, source_name
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
# A local file that is damaged or cannot be read is refused before any job, by the main process alone: it may be large.
for model in GGUF_MODELS if workflow.is_main_process else []:
    if not {"hub", "package"} & {*config["models"][model]}:
        file, key = Path(located(config["models"][model]["gguf"])), f"models.{model}.gguf"
        try:
            refuse_unread(read_header(file, key), file, key)
        except GgufError as error:
            raise WorkflowError(f"The configuration cannot be used:\n{error}")
LABELS = {model: entry.get("label", model) for model, entry in ENTRIES.items()}
# Model -> family; a model without one is a family of its own.
FAMILIES = {model: ENTRIES[model].get("family", LABELS[model]) for model in SCORED}
# The texts of a folder as they are, or one text that is joined from those of a folder or of a package. A study of given
# head scores alone reads none.
FOLDER = config["haystacks"].get("folder")
TEXTS = [str(path) for path in list_haystacks(FOLDER, located)] if FOLDER and MODELS else []
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


include: "lookups/shared.smk"
