# The table of contents of a study: find retrieval heads, prove them by masking, draw the figures.
# Every rule file opens with what it needs and what it makes; config/README.md describes every key.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")


# With --directory, a study folder may hold a config of its own.
configfile: "config/config.yaml" if Path("config/config.yaml").exists() else f"{workflow.basedir}/config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/detection.smk"
include: "workflow/rules/head_scores.smk"
include: "workflow/rules/head_sets.smk"
include: "workflow/rules/masking.smk"
include: "workflow/rules/patching.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/downstream.smk"
include: "workflow/rules/sum_attention.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/reference_models.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/archive.smk"


# Only a study with config `quirks` includes the replication of the released code.
if QUIRKED:

    include: "workflow/rules/replication.smk"


register_machine()


report: "workflow/report/workflow.rst"


localrules:
    all,
    all_figures,


rule all:
    default_target: True
    input:
        expand("results/head_score/{model}.json", model=SCORED),
        downstream_input(),
        sum_attention_input(),
        all_figures_input(),
        "results/study.html",
    message:
        "The study is complete: head scores in results/head_score, figures in results/figures"


rule all_figures:
    input:
        all_figures_input(),
    message:
        "All figures are drawn: results/figures"
