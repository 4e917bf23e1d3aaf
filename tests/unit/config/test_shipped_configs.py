"""Every config of the repository can be laid over the default one and is accepted."""

from __future__ import annotations

import pytest
import yaml
from offline_config import BUILT, ROOT, SCHEMA, located
from snakemake.utils import update_config

from retrieval_heads.config.validation import checked

# Laid over config/offline.yaml, as it says itself.
OVER_OFFLINE = {"paper-code.yaml"}
# The files that config/published.yaml names are not part of the repository.
CONFIGS = sorted(file.name for file in (ROOT / "config").glob("*.yaml") if file.name != "published.yaml")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_shipped_config_is_accepted(name):
    config: dict = {}
    for file in dict.fromkeys(["config.yaml", *(["offline.yaml"] if name in OVER_OFFLINE else []), name]):
        update_config(config, yaml.safe_load((ROOT / "config" / file).read_text(encoding="utf-8")))
    full = checked(config, SCHEMA, located, BUILT)
    assert full["models"] or full["head_scores"]["models"]
