"""Option and fixture by which a test run prints the matrix of tested families into the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "architectures.md"


def pytest_addoption(parser):
    parser.addoption(
        "--write-docs", action="store_true", help="write docs/architectures.md from this run's results"
    )


@pytest.fixture(scope="session")
def matrix(request):
    """Family -> what the tests found; becomes a page of the docs at the end of a run with --write-docs."""
    found: dict[str, dict] = {}
    yield found
    if request.config.getoption("--write-docs") and found:
        from architectures_page import page

        DOCS.write_text(page(found), encoding="utf-8")
