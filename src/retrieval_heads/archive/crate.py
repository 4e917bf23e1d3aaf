"""A study in one file: a Workflow Run RO-Crate (https://w3id.org/ro/wfrun/workflow/0.5).

Every file of the crate carries its SHA-256 in the metadata, so a copy can be checked without this project.
"""

from __future__ import annotations

import mimetypes
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from retrieval_heads.archive.check import sha256

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
WORKFLOW = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
LICENCE = "https://spdx.org/licenses/MIT"
# What `mimetypes` does not know everywhere.
FORMATS = {".cff": "text/yaml", ".gz": "application/gzip", ".ipynb": "application/x-ipynb+json", ".smk": "text/plain"}


@dataclass(frozen=True)
class Run:
    """What the crate says of the run: a name and a sentence, its end (ISO 8601), the commit, Snakemake's version."""

    name: str
    description: str
    ended: str
    commit: str
    snakemake: str


def write(path: Path, files: Mapping[str, Path | bytes], run: Run, inputs: list[str], results: list[str]) -> None:
    """Write the crate as a zip file.

    files: name in the crate -> file or content; `Snakefile` must be among them. inputs, results: names of those that
    the run read and wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        _crate(_as_files(files, Path(folder)), run, inputs, results).write_zip(path)


def _as_files(files: Mapping[str, Path | bytes], folder: Path) -> dict[str, Path]:
    """Content written to files: rocrate gives the names of streams to the zip file as they stand in its metadata."""
    found = {}
    for number, (name, content) in enumerate(files.items()):
        found[name] = content
        if isinstance(content, bytes):
            found[name] = folder / str(number)
            found[name].write_bytes(content)
    return found


def _crate(files: Mapping[str, Path], run: Run, inputs: list[str], results: list[str]) -> ROCrate:
    crate = ROCrate(version="1.1")
    # RO-Crate 1.1 has no word for a SHA-256; this one is the workflow run vocabulary's.
    crate.metadata.extra_terms["sha256"] = "https://w3id.org/ro/terms/workflow-run#sha256"
    entities = {name: _add(crate, name, content, run) for name, content in files.items()}
    workflow = entities["Snakefile"]
    for direction, names in (("input", inputs), ("output", results)):
        workflow[direction] = [_parameter(crate, direction, name, entities[name]) for name in names]
    action = crate.add_action(
        workflow,
        "#run",
        object=[entities[name] for name in inputs],
        result=[entities[name] for name in results],
        properties={
            "name": f"Run of {run.name}",
            "description": run.description,
            "endTime": run.ended,
            "actionStatus": "http://schema.org/CompletedActionStatus",
        },
    )
    _describe(crate, run, action)
    return crate


def _add(crate: ROCrate, name: str, source: Path, run: Run):
    properties = {"name": name, "sha256": sha256(source), "encodingFormat": _format(name)}
    if name == "README.md":
        properties["about"] = {"@id": "./"}
    if name != "Snakefile":
        return crate.add_file(source, name, properties=properties, record_size=True)
    properties |= {"version": run.commit, "conformsTo": {"@id": WORKFLOW}}
    return crate.add_workflow(
        source, name, main=True, lang="snakemake", lang_version=run.snakemake, properties=properties, record_size=True
    )


def _parameter(crate: ROCrate, direction: str, name: str, entity):
    parameter = crate.add_formal_parameter(
        name, "File", f"#{direction}-{name}", properties={"workExample": {"@id": entity.id}}
    )
    entity["exampleOfWork"] = parameter
    return parameter


def _describe(crate: ROCrate, run: Run, action) -> None:
    profiles = [
        crate.add(ContextEntity(crate, iri, {"@type": "CreativeWork", "name": name, "version": version}))
        for iri, (name, version) in PROFILES.items()
    ]
    licence = crate.add(ContextEntity(crate, LICENCE, {"@type": "CreativeWork", "name": "MIT", "identifier": LICENCE}))
    crate.name, crate.description, crate.license = f"Retrieval heads: {run.name}", run.description, licence
    crate.root_dataset["conformsTo"] = profiles
    crate.root_dataset["mentions"] = action


def _format(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    return FORMATS.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"
