"""Whether conda is there where a study asks for it. Apart from `running.environment`, which every result depends on."""

from __future__ import annotations

import subprocess

NO_CONDA = (
    "The rules' environments are to be made by conda (--use-conda, or 'software-deployment-method: conda' in a "
    "profile), but no `conda` is on the path; load or install it, or leave out --use-conda, or take the line "
    "'software-deployment-method: conda' out of slurm/config.yaml, to run in an environment of your own "
    "(`pip install -r requirements.txt`)."
)


def has_conda() -> bool:
    """Whether the shell of the jobs knows `conda`: a program on the path, or a function."""
    return subprocess.run(["bash", "-c", "type conda"], capture_output=True).returncode == 0
