"""Fetch one checkpoint from the Hugging Face hub at a pinned revision.

Output: a folder with config, tokenizer and safetensors. A gated model needs HF_TOKEN in the environment or in a `.env`
file; huggingface_hub reads it itself, and it is never written anywhere.
"""

import os
import shutil
from pathlib import Path

# All other jobs are kept off the network; huggingface_hub reads this once, when it is imported.
os.environ.pop("HF_HUB_OFFLINE", None)

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import GatedRepoError

from retrieval_heads.models.hub_auth import refused, take_token
from retrieval_heads.models.packages import PIN, begin_part
from retrieval_heads.running.logs import job_log

# Weights in one format only, and nothing that runs code.
WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


def download_model(model: str, hub: str, revision: str, folder: str, logger) -> None:
    """Download the files of `hub` at `revision` into `folder`; raises `GatedModelError` where a token is wanted.

    The commit that a branch stands for now is logged, so that it can be pinned. Files gather in `<folder>.part`, which
    Snakemake does not clear away, so that a killed download goes on where it was; it belongs to one commit.
    """
    part = Path(f"{folder}.part")
    try:
        commit = HfApi().model_info(hub, revision=revision).sha
        begin_part(part, {"hub": hub, "commit": commit})
        snapshot_download(hub, revision=commit, local_dir=part, allow_patterns=WANTED)
    except GatedRepoError as error:
        raise refused(f"models.{model}.hub", hub) from error
    shutil.rmtree(part / ".cache", ignore_errors=True)
    (part / PIN).unlink()
    part.rename(folder)
    if commit != revision:
        logger.warning("models.%s.revision: %s of %s is now %s; name that commit instead", model, revision, hub, commit)


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        take_token([Path.cwd(), Path(snakemake.scriptdir).parents[2]])
        params = snakemake.params
        download_model(snakemake.wildcards.model, params.hub, params.revision, snakemake.output[0], journal)
