# Look-ups of the sum-attention stage: its models, paths, settings and resources. Without config `sum_attention` nothing runs.
from collections import Counter

from retrieval_heads.sum_attention.facts import read_records, split

FACTS = config.get("sum_attention")
FACT_MODELS = sorted(FACTS["models"] or MODELS) if FACTS else []
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
FACT_FIGURES = ["sum_attention_depths", "sum_attention_lowest"] if FACTS else []
FIGURES |= {figure: figure for figure in FACT_FIGURES}

# Where natural facts are told.
FACT_DOCUMENTS = []
if FACTS and "natural" in FACTS["placements"]:
    FACT_DOCUMENTS = sorted(str(path) for path in Path(located(FACTS["documents"])).glob("*.txt"))
# Facts and documents whose words the phantom has to know: none where it is not asked.
PHANTOM_FACTS = ["results/sum_attention/facts.tsv"] if "phantom" in FACT_MODELS else []
PHANTOM_DOCUMENTS = FACT_DOCUMENTS if PHANTOM_FACTS else []


def get_documents(wildcards):
    """The documents that tell the facts of a study, where they are used."""
    return FACT_DOCUMENTS if wildcards.placement == "natural" else []


def get_fact_folder(wildcards):
    """Where the side files of one job lie."""
    return "results/{model}/sum_attention/{placement}/{part}".format(**wildcards)


def get_fact_grid(wildcards):
    """Lengths and depths of the prompts of a task, and how they are built."""
    entry = config["models"][wildcards.model]
    return as_param(
        {
            **{key: FACTS[key] for key in ("lengths", "depths")},
            "repeat": config["haystacks"]["repeat"],
            "chat": entry["chat"],
            "template": entry.get("template", config["prompt"]["template"]),
            "max_new_tokens": config["prompt"]["max_new_tokens"],
        }
    )


def get_fact_cost(model):
    """Cards, memory and time of a job of this stage; without a known architecture those of a small model."""
    entry, architecture = config["models"][model], get_architecture(model)
    if architecture is None:
        return {"gpus": entry["gpus"] or 1, "mem_mb": 16000, "runtime_min": 120}
    tokens = sum(FACT_COUNTS.values()) * len(FACTS["depths"]) * sum(FACTS["lengths"])
    settings = {
        "longest": max(FACTS["lengths"]),
        "tokens": tokens,
        "rows": config["masked"]["batch"],
        "detection": True,
    }
    try:
        return job_resources(architecture, entry["dtype"], entry["quantization"], cards=entry["gpus"], **settings)
    except CostError as error:
        raise WorkflowError(f"models.{model}, sum_attention.lengths up to {settings['longest']}: {error}")


def get_fact_plan():
    """What the plan follows from: the stage's settings, and how many facts identify heads and how many validate them."""
    return {**FACTS, "models": FACT_MODELS, "facts": FACT_COUNTS} if FACTS else None


def get_fact_memory(wildcards, attempt):
    """Host memory in MB; a job that failed is given twice as much."""
    return get_fact_cost(wildcards.model)["mem_mb"] * 2 ** (attempt - 1)


def get_fact_runtime(wildcards, attempt):
    """Minutes; a job that failed is given twice as many."""
    return get_fact_cost(wildcards.model)["runtime_min"] * 2 ** (attempt - 1)


def sum_attention_input():
    """Every table and figure of the stage."""
    if not FACTS:
        return []
    tables = expand("results/tables/sum_attention_{table}.tsv", table=["heads", "tasks", "depths", "lowest"])
    return [*tables, *expand("results/figures/{figure}.svg", figure=FACT_FIGURES)]
