"""Which tasks there are, and where their items come from.

Standard library only: the Snakefile asks while it is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

# The mode of a task that lm-evaluation-harness ships: its own prompt.
HARNESS = "harness"


@dataclass(frozen=True)
class Published:
    """Where a dataset stands on the Hugging Face hub: `subset` and `split` of `hub` at the commit `revision`."""

    hub: str
    subset: str | None
    split: str
    revision: str


# The task whose items are the user's own articles.
ARTICLES = "extract_qa"
PUBLISHED = {
    "mmlu": Published("cais/mmlu", "all", "test", "c30699e8356da336a370243923dbaf21066bb9fe"),
    "gsm8k": Published("openai/gsm8k", "main", "test", "e53f048856ff4f594e959d75785d2c2d37b678ee"),
    "musique": Published("dgslibisey/MuSiQue", None, "validation", "c8f4f8c9465fb69d31a8eae894c3fd509c4ca321"),
}


def modes_of(task: str, folder: Path) -> list[str]:
    """The modes of a task: those of the files `<task>_<mode>.yaml` in `folder`, or the harness's own."""
    files = sorted(folder.glob("*.yaml"))
    return [mode for own, mode in (file.stem.rsplit("_", 1) for file in files) if own == task] or [HARNESS]


def source_of(task: str, given: Mapping, own_articles: str) -> dict:
    """Where the items of a task come from: what the config gives (`downstream.sources.<task>`), or the default.

    given: `path` (and `split`), or any key of `Published`. Everything that decides the items is in it.
    """
    if task not in PUBLISHED and task != ARTICLES:
        return {"kind": "harness", "revision": given.get("revision")}
    if task == ARTICLES:
        return {"kind": "path", "path": given.get("path", own_articles)}
    if "path" in given:
        return {"kind": "path", "path": given["path"], "split": given.get("split", PUBLISHED[task].split)}
    return {"kind": "hub", **asdict(PUBLISHED[task]), **given}


def items_of(part: Mapping) -> dict[str, int]:
    """How many items of each task are sampled (`downstream.items`); 0: all."""
    given = part["items"]
    return dict(given) if isinstance(given, Mapping) else dict.fromkeys(part["tasks"], given)


def downstream_faults(config: Mapping, located: Callable[[str], str]) -> Iterator[str]:
    """What the schema cannot see in the part `downstream`: names and sizes that other parts lack, absent folders."""
    part = config.get("downstream")
    if part is None:
        return
    for name in part["models"] or []:
        if name not in config["models"]:
            yield f"downstream.models: no model '{name}' in models; it has {', '.join(config['models'])}"
    for size in part["sizes"]:
        if size not in config["head_sets"]["sizes"]:
            yield f"downstream.sizes: {size} is not among head_sets.sizes; add it there"
    if missing := [task for task in part["tasks"] if task not in items_of(part)]:
        yield f"downstream.items: it names no number for {', '.join(missing)}; add one, or give one number for all"
    for task, source in part["sources"].items():
        key = f"downstream.sources.{task}"
        if task not in part["tasks"]:
            continue
        if "path" in source and not Path(located(source["path"])).is_dir():
            yield f"{key}.path: there is no folder '{source['path']}'"
        if "hub" in source and "revision" not in source:
            yield f"{key}.revision: it is missing; pin the commit of '{source['hub']}'"


def unasked_sources(config: Mapping) -> list[str]:
    """One warning for each source of a task that is not asked; such a source is not looked at."""
    part = config.get("downstream") or {"tasks": [], "sources": {}}
    return [
        f"downstream.sources.{task}: '{task}' is not among downstream.tasks, so its source is not used"
        for task in part["sources"]
        if task not in part["tasks"]
    ]
