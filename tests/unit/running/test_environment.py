"""A library from elsewhere is noticed."""

from __future__ import annotations

from types import ModuleType

import numpy
import pytest

from retrieval_heads.running.environment import EnvironmentMismatch, check_own_libraries


def test_the_libraries_of_this_environment_pass():
    check_own_libraries({"numpy": numpy})


def test_a_library_of_another_environment_is_named(tmp_path):
    stray = ModuleType("pandas")
    stray.__file__ = str(tmp_path / "pandas/__init__.py")
    with pytest.raises(EnvironmentMismatch, match=r"pandas was imported from .*not in this job's environment"):
        check_own_libraries({"numpy": numpy, "pandas": stray})


def test_a_core_that_pip_installed_is_not_taken_for_the_workflows(tmp_path):
    installed = ModuleType("retrieval_heads")
    installed.__file__ = str(tmp_path / "lib/site-packages/retrieval_heads/__init__.py")
    with pytest.raises(EnvironmentMismatch, match="in place of the workflow's own: pip uninstall retrieval-heads"):
        check_own_libraries({"retrieval_heads": installed})
    installed.__file__ = str(tmp_path / "src/retrieval_heads/__init__.py")
    check_own_libraries({"retrieval_heads": installed})
