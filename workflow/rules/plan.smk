# What a study will take, and what of it would run again, before anything is spent.
# Needs: the config and resources/architectures (or checkpoints that are here already); the present results.
# Makes: results/plan.tsv and results/reruns.tsv, printed too, each time that they are asked for.
import time


localrules:
    list_reruns,
    plan_study,


# Hands over to Snakemake itself, so it runs in Snakemake's environment and needs none of its own.
rule list_reruns:
    input:
        snakefile=located("Snakefile"),
    output:
        jobs="results/reruns.json",
        config=temp("results/reruns_config.json"),
    log:
        "logs/list_reruns.log",
    handover: True
    params:
        code=get_code("plan/list_reruns"),
        config=lambda wildcards: as_param(WRITTEN_CONFIG),
        deployment=lambda wildcards: sorted(
            method.item_to_choice() for method in workflow.deployment_settings.deployment_method
        ),
        # Asked anew each time: the results may have changed, though nothing that is named here has.
        asked=lambda wildcards: time.time_ns(),
    message:
        "Listing the jobs that would run again"
    script:
        "../scripts/plan/list_reruns.py"


rule plan_study:
    input:
        reruns="results/reruns.json",
    log:
        "logs/plan_study.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("plan/plan_study"),
        settings=get_plan_settings,
        table="results/plan.tsv",
        reruns="results/reruns.tsv",
        unpinned=UNPINNED,
    message:
        "Planning {MODELS}: results/plan.tsv, results/reruns.tsv"
    script:
        "../scripts/plan/plan_study.py"
