"""Ask Snakemake about the finished study: what was run for what.

Outputs: DAG of jobs and graph of rules (dot language), the files that the study consists of (TSV of `--summary`), and
the report. Runs in Snakemake's own environment, and needs no other package.
"""

import subprocess
import sys
from pathlib import Path

from retrieval_heads.running.logs import job_log


def collect_provenance(snakefile: str, config: str, outputs, cores: int, logger) -> None:
    """Write each output. config: JSON, before defaults are filled in."""
    configfile = Path(outputs.config)
    configfile.write_text(config + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--configfile", str(configfile)]
    command += ["--cores", str(cores)]
    asked = {
        outputs.dag: ["--dag", "dot"],
        outputs.rulegraph: ["--rulegraph", "dot"],
        outputs.files: ["--summary"],
    }
    for output, question in asked.items():
        Path(output).write_text(answer([*command, *question], logger), encoding="utf-8")
    answer([*command, "--report", outputs.report], logger)


def answer(command: list[str], logger) -> str:
    """What Snakemake prints; its messages go to the log."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    logger.info("%s\n%s", " ".join(command[6:]), done.stderr)
    done.check_returncode()
    return done.stdout


if "snakemake" in globals():
    with job_log(snakemake.log[0]) as journal:
        collect_provenance(
            snakemake.input.snakefile, snakemake.params.config, snakemake.output, snakemake.threads, journal
        )
