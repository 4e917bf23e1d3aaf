"""Ask Snakemake which jobs of the study would run again in the present results folder, and why: its own dry run.

Output: JSON list of {"rule", "model" (empty for tables and figures over all models), "reasons"}, one entry a job, with
reasons as named in REASONS. Runs in Snakemake's own environment, and needs no other package.
"""

import json
import logging
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.logging import logger
from snakemake.settings.types import ConfigSettings, DeploymentSettings, OutputSettings, ResourceSettings
from snakemake_interface_executor_plugins.settings import DeploymentMethod
from snakemake_interface_logger_plugins.common import LogEvent

from retrieval_heads.running.logs import job_log

# How Snakemake opens each part of a job's reason -> what it is called here.
REASONS = {
    "Missing output files": "missing",
    "Incomplete output files": "incomplete",
    "Code has changed": "code",
    "Params have changed": "params",
    "Set of input files has changed": "input",
    "Updated input files": "input",
    "Software environment definition has changed": "environment",
    "Input files updated by another job": "earlier job",
}


class Announced(logging.Handler):
    """Collects the jobs that a dry run announces."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[dict] = []

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", None) == LogEvent.JOB_INFO:
            reasons = [name for phrase, name in REASONS.items() if phrase in record.reason]
            model = dict(record.wildcards).get("model", "")
            self.jobs.append({"rule": record.rule_name, "model": model, "reasons": list(dict.fromkeys(reasons))})


def list_reruns(snakefile: str, config: str, deployment: list[str], configfile: Path, output: str) -> None:
    """Write the jobs of a dry run of the default target. config: JSON, before defaults are filled in."""
    configfile.write_text(config, encoding="utf-8")
    announced = Announced()
    with SnakemakeApi(OutputSettings(dryrun=True)) as api:
        logger.handlers[:] = [announced]
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[configfile]),
            deployment_settings=DeploymentSettings(deployment_method=DeploymentMethod.parse_choices_set(deployment)),
            snakefile=Path(snakefile),
        )
        workflow.dag().execute_workflow(executor="dryrun")
    Path(output).write_text(json.dumps(announced.jobs, indent=1) + "\n", encoding="utf-8")


if "snakemake" in globals():
    with job_log(snakemake.log[0]):
        list_reruns(
            snakemake.input.snakefile,
            snakemake.params.config,
            snakemake.params.deployment,
            Path(snakemake.output.config),
            snakemake.output.jobs,
        )
