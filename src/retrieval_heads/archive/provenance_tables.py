"""Tables and records that an archive adds to the results: models, machines, packages, seeds, run times, graphs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import pygraphviz

from retrieval_heads.running import provenance

RESULTS = Path("results")


def provenance_files(
    config: Mapping, git: Mapping, graphs: Mapping[str, str], tables: Iterable[Path]
) -> dict[str, bytes]:
    """Name in the archive -> content of the files in `provenance/`.

    config: as it reads in the archive. git: `provenance.git_state`. graphs: name -> graph in the dot language.
    tables: TSV and JSON lines files of the results.
    """
    found, cells = machines(tables)
    run = {
        "git": git,
        "models": models(config, RESULTS),
        "seeds": seeds(config, RESULTS),
        "machines": {digest: {**one, "packages": len(one["packages"])} for digest, one in found.items()},
    }
    written = {
        "machines": cells,
        "packages": package_table(found),
        "run_times": run_times(RESULTS / "benchmarks", config["models"]),
    }
    return {
        "provenance/run.json": (json.dumps(run, indent=1) + "\n").encode(),
        **{f"provenance/{name}.tsv": table.to_csv(sep="\t", index=False).encode() for name, table in written.items()},
        **{f"provenance/{name}.dot": graph.encode() for name, graph in graphs.items()},
        **{f"provenance/{name}.svg": drawn(graph) for name, graph in graphs.items()},
    }


def models(config: Mapping, results: Path) -> dict[str, dict]:
    """Model -> where its weights come from, how they are run, and the SHA-256 of each of their files."""
    found = {}
    for name, entry in config["models"].items():
        info = results / name / "model.json"
        files = json.loads(info.read_text(encoding="utf-8"))["files"] if info.is_file() else {}
        found[name] = {**entry, "files": files}
    return found


def seeds(config: Mapping, results: Path) -> dict:
    """The seeds of the config, and that of every random head set; seeds in the code are archived with the code."""
    chosen = {f"{part}.seed": entry["seed"] for part, entry in config.items() if "seed" in (entry or ())}
    drawn = {
        file.parent.name: {one["name"]: one["seed"] for one in json.loads(file.read_text()) if one["seed"] is not None}
        for file in sorted(results.glob("*/head_sets.json"))
        if file.parent.name in config["models"]
    }
    return {"config": chosen, "head_sets": drawn}


def machines(tables: Iterable[Path]) -> tuple[dict[str, dict], pd.DataFrame]:
    """Digest -> machine of all rows in the tables, this one as `archive`; and the table table machine rows.

    tables: those that name the machine of each row count (`machine`). Its record lies beside the table.
    """
    found, counts = {"archive": provenance.machine()}, []
    for path in tables:
        for digest, rows in _named_machines(path).value_counts().items():
            counts.append((str(path), digest, int(rows)))
            found[digest] = json.loads((path.parent / f"machine_{digest}.json").read_text(encoding="utf-8"))
    return found, pd.DataFrame(counts, columns=["table", "machine", "rows"])


def _named_machines(table: Path) -> pd.Series:
    if table.suffix == ".jsonl":
        with table.open(encoding="utf-8") as lines:
            return pd.Series([row["machine"] for row in map(json.loads, lines) if "machine" in row], dtype=str)
    # A digest may look like a number.
    wanted = {"usecols": lambda name: name == "machine", "dtype": {"machine": str}}
    rows = pd.read_csv(table, sep="\t", lineterminator="\n", **wanted)
    return rows.get("machine", pd.Series(dtype=str))


def package_table(found: Mapping[str, Mapping]) -> pd.DataFrame:
    """machine package version licence, one row a package."""
    rows = [
        (digest, name, package["version"], package["licence"])
        for digest, record in found.items()
        for name, package in record["packages"].items()
    ]
    return pd.DataFrame(rows, columns=["machine", "package", "version", "licence"])


def run_times(benchmarks: Path, names: Iterable[str]) -> pd.DataFrame:
    """job model seconds peak_memory_mib (resident, all processes of the job), from Snakemake's benchmark files."""
    rows = []
    for name in names:
        for file in sorted((benchmarks / name).glob("*.tsv")):
            measured = pd.read_csv(file, sep="\t")
            rows.append((file.stem, name, measured["s"].sum(), measured["max_rss"].max()))
    return pd.DataFrame(rows, columns=["job", "model", "seconds", "peak_memory_mib"])


def drawn(graph: str) -> bytes:
    """A graph in the dot language as SVG; graphviz comes with pygraphviz, so no system package is needed."""
    return pygraphviz.AGraph(string=graph).draw(format="svg", prog="dot")
