# What the quirks of the released code change: each alone and all together, beside the same study without them.
# Needs: config `quirks`, and of every variant what the other rules make of any model.
# Makes: results/tables/quirks.tsv; of variants what they share with their model: results/<model>--<variant>/{model.json,
#        haystacks.npz, <experiment>/placement.tsv, <experiment>/pieces.json, detection/cells.tsv, detection/scores.tsv.gz}.

PLACED = [f"{experiment}/{file}" for experiment in ("detection", "masked") for file in ("placement.tsv", "pieces.json")]
CELLS = ["detection/cells.tsv", "detection/scores.tsv.gz"]
NO_VARIANT = ["no-variant"]


localrules:
    borrow,
    borrow_prompts,
    borrow_cells,
    expose,
    quirks,


ruleorder: borrow > inspect
ruleorder: borrow_prompts > tokenise
ruleorder: borrow_prompts > place
ruleorder: borrow_cells > detect


rule borrow:
    input:
        get_borrowed("model.json"),
    output:
        "results/{model}/model.json",
    log:
        "logs/{model}/borrow.log",
    wildcard_constraints:
        model="|".join(QUIRKS or NO_VARIANT),
    conda:
        "../../envs/tables.yaml"
    message:
        "{wildcards.model} runs on the checkpoint of its model"
    script:
        "../scripts/borrow.py"


use rule borrow as borrow_prompts with:
    input:
        get_borrowed("haystacks.npz", *PLACED),
    output:
        "results/{model}/haystacks.npz",
        expand("results/{{model}}/{file}", file=PLACED),
    log:
        "logs/{model}/borrow_prompts.log",
    wildcard_constraints:
        model="|".join(untouched(QUIRKS, PROMPT_STAGES) or NO_VARIANT),
    message:
        "{wildcards.model} reads the prompts of its model"


use rule borrow as borrow_cells with:
    input:
        get_borrowed(*CELLS),
    output:
        expand("results/{{model}}/{file}", file=CELLS),
    log:
        "logs/{model}/borrow_cells.log",
    wildcard_constraints:
        model="|".join(untouched(QUIRKS, CELL_STAGES) or NO_VARIANT),
    message:
        "{wildcards.model} takes the detected cells of its model"


rule expose:
    input:
        head_score=expand("results/head_score/{variant}.json", variant=QUIRKS),
        meta=expand("results/head_score/{variant}.meta.json", variant=QUIRKS),
        cells=expand("results/{variant}/detection/cells.tsv", variant=QUIRKS),
        runs=expand("results/{variant}/masked/runs.tsv", variant=QUIRKS),
        code=core(*OWN_FORMAT, "statistics/agreement", "statistics/masked_curves", "quirks/__init__", "quirks/effects"),
    output:
        report(
            "results/tables/quirks.tsv",
            caption="../report/quirks.rst",
            category="Quirks",
            labels={"model": "all", "table": "quirks"},
        ),
    log:
        "logs/expose.log",
    conda:
        "../../envs/tables.yaml"
    params:
        variants=lambda wildcards: as_param({model: list(of_model) for model, of_model in VARIANTS.items()}),
        shown=config["head_sets"]["shown"],
        threshold=config["detection"]["threshold"],
    message:
        "Exposing what each quirk of the released code changes"
    script:
        "../scripts/expose.py"


rule quirks:
    input:
        expand("results/figures/quirks.{kind}", kind=["pdf", "svg", "png", "tsv"]),
    message:
        "The quirks are measured: results/figures/quirks.pdf and .tsv"
