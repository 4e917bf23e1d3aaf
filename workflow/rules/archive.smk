# The study in one file that others can check and draw again, and its cells as JSON lines.
# Needs: the finished study (the inputs of `all`); to check an archive, only the archive (`--config archive=<file>.zip`).
# Makes: results/archive/<name>.zip (a Workflow Run RO-Crate), results/restored/<name>/ and results/restored/<name>.tsv;
#        results/<model>/detection/{cells.jsonl, config.yaml}, results/<model>/masked/{runs.jsonl, config.yaml}.
from retrieval_heads.running.provenance import git_state

DESCRIPTION = "results/archive/description"
# A path instead of a name: an archive made elsewhere, to be checked and restored, and nothing to be archived.
GIVEN_ARCHIVE = config["archive"].endswith(".zip")
ARCHIVE = config["archive"] if GIVEN_ARCHIVE else f"results/archive/{config['archive']}.zip"
RESTORED = f"results/restored/{Path(ARCHIVE).stem}"


localrules:
    verify_archive,
    export_jsonl,
    export_jsonl_runs,
    export_all_jsonl,


if not GIVEN_ARCHIVE:

    localrules:
        archive_study,

    # Hands over to Snakemake itself, so it runs in Snakemake's environment and needs none of its own.
    # Hands over to Snakemake itself, so it runs in Snakemake's environment and needs none of its own.
    rule collect_provenance:
        input:
            lambda wildcards: list(rules.all.input),
            snakefile=located("Snakefile"),
        output:
            config=f"{DESCRIPTION}/config.json",
            dag=f"{DESCRIPTION}/dag.dot",
            rulegraph=f"{DESCRIPTION}/rulegraph.dot",
            files=f"{DESCRIPTION}/files.tsv",
            report=f"{DESCRIPTION}/report.html",
        log:
            "logs/collect_provenance.log",
        handover: True
        params:
            code=get_code("archive/collect_provenance"),
            config=lambda wildcards: as_param(WRITTEN_CONFIG),
        message:
            "Collecting the provenance of the study: graphs, files, report"
        script:
            "../scripts/archive/collect_provenance.py"

    rule archive_study:
        input:
            lambda wildcards: list(rules.all.input),
            dag=rules.collect_provenance.output.dag,
            rulegraph=rules.collect_provenance.output.rulegraph,
            files=rules.collect_provenance.output.files,
            report=rules.collect_provenance.output.report,
            snakefile=located("Snakefile"),
        output:
            ARCHIVE,
        log:
            "logs/archive_study.log",
        conda:
            "../../envs/tables.yaml"
        params:
            code=get_code("archive/archive_study"),
            config=lambda wildcards: as_param(config),
            git=lambda wildcards: as_param(git_state(BASE)),
        message:
            "Archiving the study in {output}"
        script:
            "../scripts/archive/archive_study.py"


rule verify_archive:
    input:
        archive=ARCHIVE,
    output:
        study=directory(RESTORED),
        table=f"{RESTORED}.tsv",
    log:
        "logs/verify_archive.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("archive/verify_archive"),
    message:
        "Checking {input.archive} and drawing its figures again in {output.study}"
    script:
        "../scripts/archive/verify_archive.py"


rule export_jsonl:
    input:
        table="results/{model}/{experiment}/cells.tsv",
        placement="results/{model}/{experiment}/placement.tsv",
    output:
        records="results/{model}/{experiment}/cells.jsonl",
        config="results/{model}/{experiment}/config.yaml",
    log:
        "logs/{model}/export_jsonl_{experiment}.log",
    wildcard_constraints:
        experiment="detection",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("archive/export_jsonl"),
        config=lambda wildcards: as_param(config),
    message:
        "Exporting the {wildcards.experiment} cells of {wildcards.model} as JSON lines"
    script:
        "../scripts/archive/export_jsonl.py"


use rule export_jsonl as export_jsonl_runs with:
    input:
        table="results/{model}/{experiment}/runs.tsv",
        placement="results/{model}/{experiment}/placement.tsv",
    output:
        records="results/{model}/{experiment}/runs.jsonl",
        config="results/{model}/{experiment}/config.yaml",
    wildcard_constraints:
        experiment="masked",


rule export_all_jsonl:
    input:
        expand("results/{model}/detection/cells.jsonl", model=DETECTED),
        expand("results/{model}/masked/runs.jsonl", model=MODELS),
    message:
        "All cells are exported as JSON lines"
