"""Fetch one checkpoint from the Hugging Face hub at a pinned revision.

Output: a folder with the files that decide a model's answers. A gated model needs HF_TOKEN in the environment or in a
`.env` file; huggingface_hub reads it itself, and it is never written anywhere.
"""

import json
import os
import shutil
from pathlib import Path

# All other jobs are kept off the network; huggingface_hub reads this once, when it is imported.
os.environ.pop("HF_HUB_OFFLINE", None)

from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from retrieval_heads.models.checkpoint.files import deciding_names, weight_source
from retrieval_heads.models.unsupported import ModelError
from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.hub_auth import take_token
from retrieval_heads.sources.hub_faults import hub_faults
from retrieval_heads.sources.packages import PIN, begin_part


def download_model(model: str, hub: str, revision: str, folder: str, logger) -> None:
    """Download the files of `hub` at `revision` into `folder`.

    The commit that a branch stands for now is logged, so that it can be pinned. Files gather in `<folder>.part`, which
    Snakemake does not clear away, so that a killed download goes on where it was; files of another commit are removed.
    Raises `GatedModelError` or `HubError` where the hub gives nothing, `ModelError` where it holds no or not all
    weights.
    """
    part = Path(f"{folder}.part")
    with hub_faults(f"models.{model}", hub, revision):
        found = HfApi().model_info(hub, revision=revision)
        commit, names = found.sha, [file.rfilename for file in found.siblings]
        begin_part(part, {"hub": hub, "commit": commit})
        wanted = wanted_files(f"models.{model}.hub", hub, names, lambda name: read_json(hub, commit, name, part))
        snapshot_download(hub, revision=commit, local_dir=part, allow_patterns=wanted)
    shutil.rmtree(part / ".cache", ignore_errors=True)
    (part / PIN).unlink()
    part.rename(folder)
    if commit != revision:
        logger.warning("models.%s.revision: %s of %s is now %s; name that commit instead", model, revision, hub, commit)


def wanted_files(key: str, hub: str, names: list[str], read) -> list[str]:
    """The files to download; raises `ModelError` where the weights are not all there. read: the content of an index."""
    remedy = "choose a repository or a revision with weights in the format of transformers"
    for needed, there in (("config.json", "config.json" in names), ("model.safetensors", weight_source(names))):
        if not there:
            raise ModelError(f"{key}: '{hub}' holds no {needed} of a transformers model; {remedy}")
    wanted = deciding_names(names, read)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ModelError(f"{key}: the index of '{hub}' names {missing[0]}, which is not there; {remedy}")
    return wanted


def read_json(hub: str, commit: str, name: str, part: Path) -> dict:
    """One JSON file of the hub."""
    return json.loads(Path(hf_hub_download(hub, name, revision=commit, local_dir=part)).read_text(encoding="utf-8"))


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        take_token([Path.cwd(), Path(snakemake.scriptdir).parents[2]])
        params = snakemake.params
        download_model(snakemake.wildcards.model, params.hub, params.revision, snakemake.output[0], journal)
