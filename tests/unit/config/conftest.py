"""The config that tests of its checks change."""

from __future__ import annotations

import pytest
import yaml
from offline_config import ROOT


@pytest.fixture
def config() -> dict:
    """The study without a network, as written."""
    return yaml.safe_load((ROOT / "config/offline.yaml").read_text(encoding="utf-8"))
