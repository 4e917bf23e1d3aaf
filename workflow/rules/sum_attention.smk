# Heads that attend to the answer in every task: ranked task by task by attention sum, intersected, validated on records
# that identification has not seen. Only with config `sum_attention`.
# Needs: the tables of records and tasks, haystacks or documents, a checkpoint.
# Makes: results/sum_attention/{facts.tsv, facts_split.tsv};
#        results/<model>/sum_attention/<placement>/{ranking.tsv, combined.tsv, agreement.tsv, head_sets.json} and
#        {general_heads, heads}.{csv, json}, <placement>/<part>/{placement.tsv, pieces.json, texts.npz}, identification/{cells.tsv,
#        scores.tsv.gz}, validation/runs.tsv; results/tables/sum_attention_{heads, tasks, depths, lowest}.tsv.
from collections import Counter


include: "lookups/sum_attention.smk"


from retrieval_heads.sources.text_files import list_texts
from retrieval_heads.sum_attention.facts import read_records, split

FACT_STUDY = "results/{model}/sum_attention/{placement}"
FACT_PART = f"{FACT_STUDY}/{{part}}"
FACT_FIGURES = ["sum_attention_depths", "sum_attention_lowest"] if FACTS else []
FACT_STUDIES = [
    {"model": model, "placement": placement}
    for model in FACT_MODELS
    for placement in (FACTS or {}).get("placements", [])
]
# Part -> how many facts it has.
FACT_COUNTS = {}
if FACTS:
    parts = split(list(read_records(Path(located(FACTS["records"])))), FACTS["identification"], FACTS["seed"])
    FACT_COUNTS = {part: records * len(FACTS["tasks"]) for part, records in Counter(parts.values()).items()}


# Documents that state the facts.
FACT_DOCUMENTS = []
if FACTS and "natural" in FACTS["placements"]:
    FACT_DOCUMENTS = [str(path) for path in list_texts(located(FACTS["documents"]))]
# Facts and documents whose words the phantom has to know: none where it is not asked.
PHANTOM_FACTS = ["results/sum_attention/facts.tsv"] if "phantom" in FACT_MODELS else []
PHANTOM_DOCUMENTS = FACT_DOCUMENTS if PHANTOM_FACTS else []


localrules:
    build_record_facts,
    select_general_heads,
    summarize_sum_attention,
    sum_attention,


wildcard_constraints:
    placement="planted|natural",
    part="identification|validation",


rule build_record_facts:
    input:
        records=located(FACTS["records"]) if FACTS else [],
        templates=located(FACTS["templates"]) if FACTS else [],
    output:
        facts="results/sum_attention/facts.tsv",
        split="results/sum_attention/facts_split.tsv",
    log:
        "logs/build_record_facts.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("sum_attention/build_record_facts"),
        settings=lambda wildcards: as_param(
            {
                "chosen": FACTS["tasks"],
                "share": FACTS["identification"],
                "seed": FACTS["seed"],
                "cues": FACTS["cues"],
            }
        ),
    message:
        "Building a sentence for every fact of the records, and the split into identification and validation"
    script:
        "../scripts/sum_attention/build_record_facts.py"


rule place_record_facts:
    input:
        haystacks="results/{model}/haystacks.npz",
        texts=HAYSTACKS,
        model="results/{model}/model.json",
        facts="results/sum_attention/facts.tsv",
        split="results/sum_attention/facts_split.tsv",
        documents=get_documents,
    output:
        placement=f"{FACT_PART}/placement.tsv",
        pieces=f"{FACT_PART}/pieces.json",
        texts=f"{FACT_PART}/texts.npz",
    log:
        "logs/{model}/place_facts_{placement}_{part}.log",
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("sum_attention/place_record_facts"),
        checkpoint=get_checkpoint,
        settings=get_fact_grid,
    message:
        "Placing the facts of the {wildcards.part} records for {wildcards.model}, {wildcards.placement}"
    script:
        "../scripts/sum_attention/place_record_facts.py"


use rule detect_heads as measure_attention_sums with:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        haystacks=f"{FACT_PART}/texts.npz",
        placement=f"{FACT_PART}/placement.tsv",
        pieces=f"{FACT_PART}/pieces.json",
        needles="results/sum_attention/facts.tsv",
    output:
        cells=f"{FACT_PART}/cells.tsv",
        scores=f"{FACT_PART}/scores.tsv.gz",
    log:
        "logs/{model}/measure_attention_sums_{placement}_{part}.log",
    benchmark:
        "results/benchmarks/{model}/measure_attention_sums_{placement}_{part}.tsv"
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
        "Measuring the attention sums of {wildcards.model}, {wildcards.placement}"


rule rank_heads_by_task:
    input:
        cells=f"{FACT_STUDY}/identification/cells.tsv",
        scores=f"{FACT_STUDY}/identification/scores.tsv.gz",
        split="results/sum_attention/facts_split.tsv",
        model="results/{model}/model.json",
    output:
        ranking=f"{FACT_STUDY}/ranking.tsv",
        combined=f"{FACT_STUDY}/combined.tsv",
        general_csv=f"{FACT_STUDY}/general_heads.csv",
        general_json=f"{FACT_STUDY}/general_heads.json",
        heads_csv=f"{FACT_STUDY}/heads.csv",
        heads_json=f"{FACT_STUDY}/heads.json",
        agreement=f"{FACT_STUDY}/agreement.tsv",
    log:
        "logs/{model}/rank_heads_by_task_{placement}.log",
    conda:
        "../../envs/tables.yaml"
    # The table of scores has a row for each cell and head: millions for a large model.
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        code=get_code("sum_attention/rank_heads_by_task"),
        top=FACTS["top"] if FACTS else None,
    message:
        "Ranking the heads of {wildcards.model} task by task, {wildcards.placement}"
    script:
        "../scripts/sum_attention/rank_heads_by_task.py"


rule select_general_heads:
    input:
        combined=f"{FACT_STUDY}/combined.tsv",
    output:
        f"{FACT_STUDY}/head_sets.json",
    log:
        "logs/{model}/select_general_heads_{placement}.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("sum_attention/select_general_heads"),
        settings=lambda wildcards: as_param(
            {key: FACTS[key] for key in ("lowest", "random_draws", "seed", "layer_matched")}
        ),
    message:
        "Selecting the head sets of {wildcards.model}, {wildcards.placement}: general heads, random heads, lowest heads"
    script:
        "../scripts/sum_attention/select_general_heads.py"


use rule run_masked_niah as validate_general_heads with:
    input:
        checkpoint=get_checkpoint_files,
        model="results/{model}/model.json",
        haystacks=f"{FACT_PART}/texts.npz",
        placement=f"{FACT_PART}/placement.tsv",
        pieces=f"{FACT_PART}/pieces.json",
        needles="results/sum_attention/facts.tsv",
        head_sets=f"{FACT_STUDY}/head_sets.json",
    output:
        runs=f"{FACT_PART}/runs.tsv",
    log:
        "logs/{model}/validate_general_heads_{placement}_{part}.log",
    benchmark:
        "results/benchmarks/{model}/validate_general_heads_{placement}_{part}.tsv"
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
        "Validating the general heads of {wildcards.model} by masking them on the validation records, {wildcards.placement}"


rule summarize_sum_attention:
    input:
        runs=[f"{FACT_STUDY}/validation/runs.tsv".format(**study) for study in FACT_STUDIES],
        combined=[f"{FACT_STUDY}/combined.tsv".format(**study) for study in FACT_STUDIES],
        split="results/sum_attention/facts_split.tsv",
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
        "logs/summarize_sum_attention.log",
    conda:
        "../../envs/tables.yaml"
    params:
        code=get_code("sum_attention/summarize_sum_attention"),
        asked=lambda wildcards: as_param(FACT_STUDIES),
        top=FACTS["top"] if FACTS else None,
    message:
        "Summarizing the validation of the general heads"
    script:
        "../scripts/sum_attention/summarize_sum_attention.py"


rule sum_attention:
    input:
        sum_attention_input(),
    message:
        "General retrieval heads are ranked and validated: results/<model>/sum_attention, results/tables/sum_attention_*"
