"""Every job runs on the libraries of its own environment, or says where they come from instead.

Snakemake puts its own site-packages behind those of a job's environment, so a package that is missing there would
silently be taken from Snakemake's. A result must not depend on that. Nor may the core of a job be a copy that was
installed with pip some time ago: edits would change nothing, and Snakemake would track the wrong files.
"""

from __future__ import annotations

import site
import sys
from pathlib import Path
from types import ModuleType

LIBRARIES = (
    "lm_eval",
    "matplotlib",
    "numpy",
    "pandas",
    "papermill",
    "rouge_score",
    "scipy",
    "statsmodels",
    "tokenizers",
    "torch",
    "transformers",
)


class EnvironmentMismatch(ValueError):
    """A library was imported from another environment than the job's."""


def check_own_libraries(modules: dict[str, ModuleType] | None = None, homes: list[str] | None = None) -> None:
    """Raise `EnvironmentMismatch` when a library lies outside the environment of this interpreter, or the core inside.

    modules: name -> module, default everything imported so far. homes: the site-packages of the environment.
    """
    modules = sys.modules if modules is None else modules
    homes = [Path(home).resolve() for home in homes or [*site.getsitepackages(), site.getusersitepackages()]]
    core = modules.get("retrieval_heads")
    if core is not None and {"site-packages", "dist-packages"} & set(Path(core.__file__).parts):
        raise EnvironmentMismatch(
            f"retrieval_heads was imported from {core.__file__}, a copy that pip installed, in place of the workflow's "
            "own: pip uninstall retrieval-heads in this environment, and install it elsewhere for use as a library"
        )
    for name in LIBRARIES:
        origin = getattr(modules.get(name), "__file__", None)
        if origin and not any(home in Path(origin).resolve().parents for home in homes):
            raise EnvironmentMismatch(
                f"{name} was imported from {origin}, which is not in this job's environment ({sys.prefix}): install "
                "the pins of requirements.txt there, or let Snakemake make the environment with --use-conda"
            )
