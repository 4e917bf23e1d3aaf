"""Fetch one GGUF file from the Hugging Face hub at a pinned revision.

Output: the file. A gated model needs HF_TOKEN, as in download_model.py.
"""

import os
import shutil
from pathlib import Path

# All other jobs are kept off the network; huggingface_hub reads this once, when it is imported.
os.environ.pop("HF_HUB_OFFLINE", None)

from huggingface_hub import HfApi, hf_hub_download

from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.hub_auth import take_token
from retrieval_heads.sources.hub_faults import hub_faults
from retrieval_heads.sources.packages import begin_part


def download_gguf(model: str, hub: str, revision: str, name: str, output: str, logger) -> None:
    """Download `name` of `hub` at `revision`; raises `GatedModelError` or `HubError`.

    What is downloaded gathers in `<output>.part`, which belongs to one commit.
    """
    part = Path(f"{output}.part")
    with hub_faults(f"models.{model}", hub, revision):
        commit = HfApi().model_info(hub, revision=revision).sha
        begin_part(part, {"hub": hub, "commit": commit, "file": name})
        file = hf_hub_download(hub, name, revision=commit, local_dir=part)
    Path(file).replace(output)
    shutil.rmtree(part)
    if commit != revision:
        logger.warning("models.%s.revision: %s of %s is now %s; name that commit instead", model, revision, hub, commit)


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        take_token([Path.cwd(), Path(snakemake.scriptdir).parents[2]])
        params = snakemake.params
        download_gguf(snakemake.wildcards.model, params.hub, params.revision, params.gguf, snakemake.output[0], journal)
