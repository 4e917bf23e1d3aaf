# Heads that look at the answer whatever is asked: ranked task by task by attention sum, intersected, validated on records
# that identification has not seen. Only with config `sum_attention`.
# Needs: the tables of records and tasks, haystacks or documents, a checkpoint.
# Makes: results/sum_attention/{facts.tsv, facts_split.tsv};
#        results/<model>/sum_attention/<placement>/{ranking.tsv, combined.tsv, agreement.tsv, head_sets.json} and
#        {general_heads, heads}.{csv, json}, <placement>/<part>/{placement.tsv, pieces.json, texts.npz}, identification/{cells.tsv,
#        scores.tsv.gz}, validation/runs.tsv; results/tables/sum_attention_{heads, tasks, depths, lowest}.tsv.

FACT_STUDY = "results/{model}/sum_attention/{placement}"
FACT_PART = f"{FACT_STUDY}/{{part}}"


localrules:
    state_facts,
    select_general,
    validate,
    sum_attention,


wildcard_constraints:
    placement="planted|natural",
    part="identification|validation",


rule state_facts:
    input:
        records=located(FACTS["records"]) if FACTS else [],
        templates=located(FACTS["templates"]) if FACTS else [],
        code=core("sum_attention/facts", "needles"),
    output:
        facts="results/sum_attention/facts.tsv",
        split="results/sum_attention/facts_split.tsv",
    log:
        "logs/state_facts.log",
    conda:
        "../../envs/tables.yaml"
    params:
        settings=lambda wildcards: as_param(
            {
                "chosen": FACTS["tasks"],
                "share": FACTS["identification"],
                "seed": FACTS["seed"],
                "cues": FACTS["cues"],
            }
        ),
    message:
        "Stating the facts of all records, and which records identify heads and which validate them"
    script:
        "../scripts/state_facts.py"


rule place_facts:
    input:
        haystacks="results/{model}/haystacks.npz",
        model="results/{model}/model.json",
        facts="results/sum_attention/facts.tsv",
        split="results/sum_attention/facts_split.tsv",
        documents=get_documents,
        code=core("sum_attention/placement", "sum_attention/facts", "haystack", "needles", "placement"),
    output:
        placement=f"{FACT_PART}/placement.tsv",
        pieces=f"{FACT_PART}/pieces.json",
        texts=f"{FACT_PART}/texts.npz",
    log:
        "logs/{model}/place_facts_{placement}_{part}.log",
    conda:
        "../../envs/models.yaml"
    params:
        checkpoint=get_checkpoint,
        settings=get_fact_grid,
    message:
        "Placing the facts for {wildcards.model}, {wildcards.placement}, {wildcards.part}"
    script:
        "../scripts/place_facts.py"


use rule detect as detect_facts with:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        haystacks=f"{FACT_PART}/texts.npz",
        placement=f"{FACT_PART}/placement.tsv",
        pieces=f"{FACT_PART}/pieces.json",
        needles="results/sum_attention/facts.tsv",
        engine=ENGINE,
        code=core("detect", "engine/drafts", "engine/side_by_side"),
        quirks=get_quirk_code,
    output:
        cells=f"{FACT_PART}/cells.tsv",
        scores=f"{FACT_PART}/scores.tsv.gz",
    log:
        "logs/{model}/detect_facts_{placement}_{part}.log",
    benchmark:
        "results/benchmarks/{model}/detect_facts_{placement}_{part}.tsv"
    wildcard_constraints:
        part="identification",
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_fact_memory,
        runtime=get_fact_runtime,
    params:
        folder=get_fact_folder,
        scores=["attention_sum"],
        steps=False,
        success_recall=FACTS["success_recall"] if FACTS else None,
    message:
        "Attention sums of {wildcards.model}, {wildcards.placement}"


rule rank_facts:
    input:
        cells=f"{FACT_STUDY}/identification/cells.tsv",
        scores=f"{FACT_STUDY}/identification/scores.tsv.gz",
        split="results/sum_attention/facts_split.tsv",
        model="results/{model}/model.json",
        code=core("statistics/agreement", "head_scores", "head_sets", "sum_attention/ranking"),
    output:
        ranking=f"{FACT_STUDY}/ranking.tsv",
        combined=f"{FACT_STUDY}/combined.tsv",
        general_csv=f"{FACT_STUDY}/general_heads.csv",
        general_json=f"{FACT_STUDY}/general_heads.json",
        heads_csv=f"{FACT_STUDY}/heads.csv",
        heads_json=f"{FACT_STUDY}/heads.json",
        agreement=f"{FACT_STUDY}/agreement.tsv",
    log:
        "logs/{model}/rank_facts_{placement}.log",
    conda:
        "../../envs/tables.yaml"
    # The table of scores has a row for each cell and head: millions for a large model.
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        top=FACTS["top"] if FACTS else None,
    message:
        "Ranking the heads of {wildcards.model} in every task and at the top of all, {wildcards.placement}"
    script:
        "../scripts/rank_facts.py"


rule select_general:
    input:
        combined=f"{FACT_STUDY}/combined.tsv",
        code=core("head_sets", "sum_attention/ranking"),
    output:
        f"{FACT_STUDY}/head_sets.json",
    log:
        "logs/{model}/select_general_{placement}.log",
    conda:
        "../../envs/tables.yaml"
    params:
        settings=lambda wildcards: as_param(
            {key: FACTS[key] for key in ("lowest", "random_draws", "seed", "layer_matched")}
        ),
    message:
        "Choosing the head sets of {wildcards.model}, {wildcards.placement}: general, random others, the lowest"
    script:
        "../scripts/select_general.py"


use rule mask as mask_facts with:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        haystacks=f"{FACT_PART}/texts.npz",
        placement=f"{FACT_PART}/placement.tsv",
        pieces=f"{FACT_PART}/pieces.json",
        needles="results/sum_attention/facts.tsv",
        head_sets=f"{FACT_STUDY}/head_sets.json",
        engine=ENGINE,
        code=core("niah"),
        quirks=get_quirk_code,
    output:
        runs=f"{FACT_PART}/runs.tsv",
    log:
        "logs/{model}/mask_facts_{placement}_{part}.log",
    benchmark:
        "results/benchmarks/{model}/mask_facts_{placement}_{part}.tsv"
    wildcard_constraints:
        part="validation",
    resources:
        gpu=get_cards,
        nodes=1,
        mem_mb=get_fact_memory,
        runtime=get_fact_runtime,
    params:
        folder=get_fact_folder,
        success_recall=FACTS["success_recall"] if FACTS else None,
    message:
        "Asking {wildcards.model} about unseen records with heads masked, {wildcards.placement}"


rule validate:
    input:
        runs=[f"{FACT_STUDY}/validation/runs.tsv".format(**study) for study in FACT_STUDIES],
        combined=[f"{FACT_STUDY}/combined.tsv".format(**study) for study in FACT_STUDIES],
        split="results/sum_attention/facts_split.tsv",
        code=core("head_scores", "head_sets", "statistics/masked_curves", "sum_attention/tables"),
    output:
        **{
            name: report(
                f"results/tables/sum_attention_{name}.tsv",
                caption="../report/sum_attention.rst",
                category="Sum attention",
                labels={"table": name},
            )
            for name in ("heads", "tasks", "depths", "lowest")
        },
    log:
        "logs/validate.log",
    conda:
        "../../envs/tables.yaml"
    params:
        asked=lambda wildcards: as_param(FACT_STUDIES),
        top=FACTS["top"] if FACTS else None,
    message:
        "Accuracy with the general heads masked by depth and task, and with the lowest heads masked"
    script:
        "../scripts/validate.py"


rule sum_attention:
    input:
        sum_attention_input(),
    message:
        "General retrieval heads are found and validated: results/<model>/sum_attention, results/tables/sum_attention_*"
