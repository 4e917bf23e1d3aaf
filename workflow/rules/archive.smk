# The study in one file that others can check and draw again.
# Needs: the finished study (whatever `all` asks for); to check an archive, only the archive (`--config archive=<file>.zip`).
# Makes: results/archive/<name>.zip (a Workflow Run RO-Crate), results/restored/<name>/ and results/restored/<name>.tsv.
from retrieval_heads.provenance import git_state

DESCRIPTION = "results/archive/description"
# A path instead of a name: an archive made elsewhere, to be checked and restored, and nothing to be archived.
GIVEN_ARCHIVE = config["archive"].endswith(".zip")
ARCHIVE = config["archive"] if GIVEN_ARCHIVE else f"results/archive/{config['archive']}.zip"
RESTORED = f"results/restored/{Path(ARCHIVE).stem}"


localrules:
    verify_archive,


if not GIVEN_ARCHIVE:

    localrules:
        archive,

    # Hands over to Snakemake itself, so it runs in Snakemake's environment and needs none of its own.
    rule describe:
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
            "logs/describe.log",
        handover: True
        params:
            config=lambda wildcards: as_param(WRITTEN_CONFIG),
        message:
            "Describing the study: graphs, files, report"
        script:
            "../scripts/describe.py"

    rule archive:
        input:
            lambda wildcards: list(rules.all.input),
            dag=rules.describe.output.dag,
            rulegraph=rules.describe.output.rulegraph,
            files=rules.describe.output.files,
            report=rules.describe.output.report,
            snakefile=located("Snakefile"),
            code=core("archive/crate", "archive/check", "archive/inputs", "archive/records", "privacy", "provenance"),
        output:
            ARCHIVE,
        log:
            "logs/archive.log",
        conda:
            "../../envs/tables.yaml"
        params:
            config=lambda wildcards: as_param(config),
            git=lambda wildcards: as_param(git_state(BASE)),
        message:
            "Archiving the study in {output}"
        script:
            "../scripts/archive.py"


rule verify_archive:
    input:
        archive=ARCHIVE,
        code=core("archive/check", "notebooks"),
    output:
        study=directory(RESTORED),
        table=f"{RESTORED}.tsv",
    log:
        "logs/verify_archive.log",
    conda:
        "../../envs/tables.yaml"
    message:
        "Checking {input.archive} and drawing its figures again in {output.study}"
    script:
        "../scripts/verify_archive.py"
