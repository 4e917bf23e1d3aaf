"""The token of gated models: HF_TOKEN of the environment, or of a `.env` file, for this process only.

A `.env` file is looked for where the study runs, then where the workflow lies. Other lines of it are left alone. The
token goes to huggingface_hub through the environment; it is in no parameter of a rule, so that Snakemake knows nothing
of it and a new one reruns nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from dotenv import dotenv_values

NAME = "HF_TOKEN"


class GatedModelError(ValueError):
    """A model of the hub that wants a token; the message names the model and the remedy."""


def env_files(folders: Iterable[Path]) -> list[Path]:
    """The `.env` files among `folders`, in their order."""
    return [file for file in (Path(folder) / ".env" for folder in folders) if file.is_file()]


def tokens(files: Iterable[Path]) -> list[str]:
    """What HF_TOKEN is in each of the files that name one, without filling in other variables."""
    found = (dotenv_values(file, interpolate=False).get(NAME) for file in files)
    return [token for token in found if token]


def take_token(folders: Iterable[Path], environment: dict[str, str] | os._Environ = os.environ) -> None:
    """Put the token of the first `.env` that has one into `environment`, unless one is there."""
    found = tokens(env_files(folders))
    if found and not environment.get(NAME):
        environment[NAME] = found[0]


def refused(key: str, hub: str, environment: Mapping[str, str] = os.environ) -> GatedModelError:
    """The error of a gated model or dataset. key: of the config, hub: owner/name."""
    why = "was not accepted" if environment.get(NAME) else "is set nowhere"
    return GatedModelError(
        f"{key}: '{hub}' is gated, and {NAME} {why}; accept its terms on the hub with your account, and put a token "
        f"that may read it into the environment or into a line {NAME}=... of a file .env"
    )
