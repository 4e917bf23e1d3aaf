# What a study will take, and what of it would run again, before anything is spent.
# Needs: the config and resources/architectures (or checkpoints that are here already); whatever results there are.
# Makes: results/plan.tsv and results/reruns.tsv, printed too, each time that they are asked for.
import time


localrules:
    foresee,
    plan,


# Hands over to Snakemake itself, so it runs in Snakemake's environment and needs none of its own.
rule foresee:
    input:
        snakefile=located("Snakefile"),
    output:
        jobs="results/reruns.json",
        config=temp("results/reruns_config.json"),
    log:
        "logs/foresee.log",
    handover: True
    params:
        config=lambda wildcards: as_param(WRITTEN_CONFIG),
        deployment=lambda wildcards: sorted(
            method.item_to_choice() for method in workflow.deployment_settings.deployment_method
        ),
        # Asked anew each time: the results may have changed, though nothing that is named here has.
        asked=lambda wildcards: time.time_ns(),
    message:
        "Asking Snakemake what would run again"
    script:
        "../scripts/foresee.py"


rule plan:
    input:
        reruns="results/reruns.json",
        code=core(
            "costs/resources",
            "costs/job",
            "costs/layers",
            "costs/memory",
            "costs/plan",
            "costs/shape",
            "costs/study",
            "reruns",
        ),
    log:
        "logs/plan.log",
    conda:
        "../../envs/tables.yaml"
    params:
        settings=get_plan_settings,
        table="results/plan.tsv",
        reruns="results/reruns.tsv",
        unpinned=UNPINNED,
    message:
        "Planning {MODELS}: results/plan.tsv, results/reruns.tsv"
    script:
        "../scripts/plan.py"
