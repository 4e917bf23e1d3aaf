"""The documentation says what the schema and the pins say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))


def schema_keys(schema: dict, prefix: str = "") -> dict[str, dict]:
    """Every leaf key of the config, dotted, with its part of the schema."""
    keys = {}
    for name, child in schema.get("properties", {}).items():
        keys |= schema_keys(child, f"{prefix}{name}.") or {f"{prefix}{name}": child}
    if "$ref" in (schema.get("additionalProperties") or {}):
        entry = SCHEMA["$defs"][schema["additionalProperties"]["$ref"].rsplit("/", 1)[1]]["properties"]
        keys = {f"{prefix}<name>.{name}": child for name, child in entry.items()}
    return keys


def documented() -> dict[str, str]:
    """Key -> its column `default` in config/README.md."""
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \|[^|]*\|([^|]*)\|", text, flags=re.M)
    return {key: default.strip() for key, default in rows}


def test_every_key_is_documented_and_no_other():
    assert set(documented()) == set(schema_keys(SCHEMA))


@pytest.mark.parametrize(("key", "child"), schema_keys(SCHEMA).items())
def test_defaults_are_documented(key, child):
    if "default" not in child:
        return
    default = child["default"]
    shown = ", ".join(default) if isinstance(default, list) else str(default)
    shown = {"None": "null"}.get(shown, shown.lower() if isinstance(default, bool) else shown)
    assert documented()[key] == shown


PAGES = sorted(path for pattern in ("*.md", "docs/*.md", "config/*.md") for path in ROOT.glob(pattern))


def anchors(page: Path) -> set[str]:
    """The places in a page that a link can name, as GitHub makes them out of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda path: path.name if path.parent == ROOT else f"{path.parent.name}/{path.name}"
)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith(("http://", "https://")):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_the_way_of_a_needle_names_files_that_there_are():
    way = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The way of a needle")[1]
    named = re.findall(r"`((?:…|workflow|config)/[^`<]+)`", way)
    files = [ROOT / name.replace("…", "src/retrieval_heads", 1) for name in named]
    assert len(files) == 20 and [file for file in files if not file.is_file()] == []


def test_every_page_is_linked_from_another():
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    }
    assert {page for page in PAGES if page.parent.name == "docs"} <= linked


def test_the_tree_of_the_readme_is_the_tree():
    drawn = re.search(r"## The tree\n\n```\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S)[1]
    named = {name for line in drawn.splitlines() if line[0] != " " for name in re.split(r"\s{3,}", line)[0].split(", ")}
    assert not [name for name in named if not (ROOT / name).exists()]
    folders = {name.split("/")[0] for name in git_files() if "/" in name and not name.startswith(".")}
    assert folders <= {name.split("/")[0] for name in named}


def git_files() -> list[str]:
    """Every file of the repository; none where this is no clone."""
    return subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()


def pins(lines: list[str]) -> dict[str, str]:
    return dict(line.strip().split("==") for line in lines if "==" in line and not line.lstrip().startswith("#"))


def environment_pins(name: str) -> dict[str, str]:
    dependencies = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text(encoding="utf-8"))["dependencies"]
    return pins(next(entry["pip"] for entry in dependencies if isinstance(entry, dict)))


@pytest.mark.parametrize("environment", ["models", "tables"])
def test_environments_carry_the_pins_of_the_requirements(environment):
    required = pins((ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines())
    assert environment_pins(environment)
    assert environment_pins(environment).items() <= required.items()


def test_the_environment_of_gpus_adds_to_the_one_of_models():
    assert environment_pins("models").items() < environment_pins("gpu").items()
    assert "flash-attn==" in (ROOT / "envs/gpu.post-deploy.sh").read_text(encoding="utf-8")
