# Cells as JSON lines, one object a cell, with the resolved config beside them: `snakemake --cores all records`.
# Needs: results/<model>/detection/cells.tsv, results/<model>/masked/runs.tsv and the placement of both.
# Makes: results/<model>/detection/{cells.jsonl, config.yaml}, results/<model>/masked/{runs.jsonl, config.yaml}.


localrules:
    record,
    record_runs,
    records,


rule record:
    input:
        table="results/{model}/{experiment}/cells.tsv",
        placement="results/{model}/{experiment}/placement.tsv",
        code=core("records"),
    output:
        records="results/{model}/{experiment}/cells.jsonl",
        config="results/{model}/{experiment}/config.yaml",
    log:
        "logs/{model}/record_{experiment}.log",
    wildcard_constraints:
        experiment="detection",
    conda:
        "../../envs/tables.yaml"
    params:
        config=lambda wildcards: as_param(config),
    message:
        "Writing the {wildcards.experiment} cells of {wildcards.model} as JSON lines"
    script:
        "../scripts/record.py"


use rule record as record_runs with:
    input:
        table="results/{model}/{experiment}/runs.tsv",
        placement="results/{model}/{experiment}/placement.tsv",
        code=core("records"),
    output:
        records="results/{model}/{experiment}/runs.jsonl",
        config="results/{model}/{experiment}/config.yaml",
    wildcard_constraints:
        experiment="masked",


rule records:
    input:
        expand("results/{model}/detection/cells.jsonl", model=DETECTED),
        expand("results/{model}/masked/runs.jsonl", model=MODELS),
    message:
        "All cells are written as JSON lines"
