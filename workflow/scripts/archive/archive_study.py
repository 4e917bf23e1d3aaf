"""Put the study into one zip file, a Workflow Run RO-Crate; docs/archive.md says what is in it.

Output: results/archive/<name>.zip. Nothing in it names a folder of this machine or holds a token: where something
would, no archive is written.
"""

import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import yaml

from retrieval_heads.archive import crate
from retrieval_heads.archive.inputs import code_files, portable, result_files
from retrieval_heads.archive.provenance_tables import provenance_files
from retrieval_heads.running import redaction as privacy
from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.hub_auth import take_token


def archive_study(inputs, params, output: str) -> None:
    """Collect the files, take private paths out of them, check that none is left, and write the crate."""
    repository = Path(inputs.snakefile).resolve().parent
    # So that what is archived is searched for the token of a .env file as for those of the environment.
    take_token([Path.cwd(), repository])
    config, sources = portable(json.loads(params.config), lambda path: found(path, repository), repository)
    results = result_files(pd.read_csv(inputs.files, sep="\t")["output_file"])
    graphs = {name: Path(inputs[name]).read_text(encoding="utf-8") for name in ("dag", "rulegraph")}
    git = json.loads(params.git)
    files = {**code_files(repository), **sources, **results, "report.html": Path(inputs.report)}
    tables = [path for path in results.values() if path.suffix in (".tsv", ".jsonl")]
    files |= provenance_files(config, git, graphs, tables)
    files["config/config.yaml"] = yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode()
    known = privacy.folders(repository, Path.cwd(), {path.parent for path in sources.values()})
    files = {name: privacy.cleared(name, content, known) for name, content in files.items()}
    folder = config["haystacks"].get("folder")
    texts = [name for name in files if folder and name.startswith(folder + "/") and name.lower().endswith(".txt")]
    run = crate.Run(
        Path(output).stem,
        f"Retrieval heads of {', '.join(config['models']) or 'published scores'}",
        ended(results.values()),
        git["commit"] or "unknown",
        version("snakemake"),
    )
    crate.write(Path(output), files, run, ["config/config.yaml", config["needles"], *texts], list(results))


def found(path: str, repository: Path) -> Path:
    """A file of the config: in the study, else in the repository."""
    return Path(path) if Path(path).exists() else repository / path


def ended(files) -> str:
    """When the last file was written, ISO 8601."""
    return datetime.fromtimestamp(max(path.stat().st_mtime for path in files), UTC).isoformat(timespec="seconds")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        archive_study(snakemake.input, snakemake.params, snakemake.output[0])
