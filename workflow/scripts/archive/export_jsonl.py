"""Write the cells of one experiment of one model as JSON lines, with the config that they were made by beside them.

Outputs: one JSON object a cell (retrieval_heads.archive.json_lines.records), and the whole config with every default,
sweep and choice of needles spelt out, as YAML.
"""

import json
from pathlib import Path

import yaml

from retrieval_heads.archive.json_lines import records
from retrieval_heads.running.logs import job_log
from retrieval_heads.text_tables import read_table


def export_jsonl(model: str, table: str, placement: str, config: dict, outputs) -> None:
    """Write both files."""
    tables = [read_table(path) for path in (table, placement)]
    lines = "".join(f"{line}\n" for line in records(model, *tables))
    Path(outputs.records).write_text(lines, encoding="utf-8")
    written = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    Path(outputs.config).write_text(written, encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        export_jsonl(
            snakemake.wildcards.model,
            snakemake.input.table,
            snakemake.input.placement,
            json.loads(snakemake.params.config),
            snakemake.output,
        )
