# Replication of the released code: what its differences (quirks) change, each alone and all together.
# Needs: config `quirks`, and of every variant what the other rules make of any model.
# Makes: results/tables/quirks.tsv; of variants what they share with their model: results/<model>--<variant>/{model.json,
#        haystacks.npz, <experiment>/placement.tsv, <experiment>/pieces.json, detection/cells.tsv, detection/scores.tsv.gz}.


PLACED = [f"{experiment}/{file}" for experiment in ("detection", "masked") for file in ("placement.tsv", "pieces.json")]
CELLS = ["detection/cells.tsv", "detection/scores.tsv.gz"]
NO_VARIANT = ["no-variant"]
from retrieval_heads.replication.quirks import PROMPT_STAGES, untouched


localrules:
    copy_base_files,
    copy_base_prompts,
    copy_base_cells,
    compare_quirks,
    quirks,


ruleorder: copy_base_files > inspect_model
ruleorder: copy_base_prompts > tokenize_haystacks
ruleorder: copy_base_prompts > place_needles
ruleorder: copy_base_cells > detect_heads


rule copy_base_files:
    input:
        get_base_files("model.json"),
    output:
        "results/{model}/model.json",
    log:
        "logs/{model}/copy_base_files.log",
    wildcard_constraints:
        model="|".join(QUIRKS or NO_VARIANT),
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("replication/copy_base_files"),
    message:
        "Copying the model info of the base model for {wildcards.model}"
    script:
        "../scripts/replication/copy_base_files.py"


use rule copy_base_files as copy_base_prompts with:
    input:
        get_base_files("haystacks.npz", *PLACED),
    output:
        "results/{model}/haystacks.npz",
        expand("results/{{model}}/{file}", file=PLACED),
    log:
        "logs/{model}/copy_base_prompts.log",
    wildcard_constraints:
        model="|".join(untouched(QUIRKS, PROMPT_STAGES) or NO_VARIANT),
    message:
        "Copying the prompts of the base model for {wildcards.model}"


use rule copy_base_files as copy_base_cells with:
    input:
        get_base_files(*CELLS),
    output:
        expand("results/{{model}}/{file}", file=CELLS),
    log:
        "logs/{model}/copy_base_cells.log",
    wildcard_constraints:
        model="|".join(untouched(QUIRKS, CELL_STAGES) or NO_VARIANT),
    message:
        "Copying the detected cells of the base model for {wildcards.model}"


rule compare_quirks:
    input:
        head_score=expand("results/head_score/{variant}.json", variant=QUIRKS),
        meta=expand("results/head_score/{variant}.meta.json", variant=QUIRKS),
        cells=expand("results/{variant}/detection/cells.tsv", variant=QUIRKS),
        runs=expand("results/{variant}/masked/runs.tsv", variant=QUIRKS),
    output:
        report(
            "results/tables/quirks.tsv",
            caption="../report/quirks.rst",
            category="Quirks",
            labels={"model": "all", "table": "quirks"},
        ),
    log:
        "logs/compare_quirks.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("replication/compare_quirks"),
        variants=lambda wildcards: as_param({model: list(of_model) for model, of_model in VARIANTS.items()}),
        shown=config["head_sets"]["shown"],
        threshold=config["detection"]["threshold"],
    message:
        "Comparing each difference of the released code with the study without it"
    script:
        "../scripts/replication/compare_quirks.py"


rule quirks:
    input:
        expand("results/figures/quirks.{kind}", kind=["pdf", "svg", "png", "tsv"]),
    message:
        "The differences of the released code are measured: results/figures/quirks.pdf and .tsv"
