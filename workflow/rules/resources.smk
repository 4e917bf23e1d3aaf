# What jobs ask for: cards, memory, time, threads. Computed from a model's architecture (docs/costs.md).
from retrieval_heads.costs.memory import ROWS_EACH, own_rows, side_by_side
from retrieval_heads.costs.resources import CostError, export_resources, job_resources
from retrieval_heads.costs.study import head_sets as head_set_count
from retrieval_heads.running.gpu_locks import visible_cards

# A cluster's scheduler places the jobs and counts cards; the profile sets their threads.
ON_CLUSTER = workflow.resource_settings.nodes is not None or not workflow.is_main_process
# The cards of this machine, as many as the jobs that start here may hold together; `--resources gpu=N` lowers it.
CARDS = [] if ON_CLUSTER else visible_cards()
CARD_LIMIT = (
    min(len(CARDS), workflow.global_resources["gpu"].value) if "gpu" in workflow.global_resources else len(CARDS)
)
# Several cards run a job each. Without cards two jobs run side by side: on half of the cores a job of a small model is
# hardly slower than on all (docs/log.md). A process that runs one job is given that job's share already.
ALL_CORES = workflow.resource_settings.cores or 1
MODEL_THREADS = ALL_CORES if ON_CLUSTER else max(1, ALL_CORES // (CARD_LIMIT or 2))

# ASSUME: tokens of a long downstream prompt (MuSiQue's twenty paragraphs), items of a task that is asked whole, and tokens
# of a response whose limit is its task's. They only size the limits of a job.
ANSWER_TOKENS, ALL_ITEMS, ANSWER_LIMIT = 4096, 1000, 512


def get_architecture(model):
    """What is known of a model's architecture before any job runs: its config.json, or the project's note of it.

    None for a checkpoint that a rule is still to make and for a hub model without a note.
    """
    entry = get_entry(model)
    own = Path(located(entry["path"])) if "path" in entry else Path(f"results/models/{BASES.get(model, model)}")
    note = BASE / "resources/architectures" / f"{entry.get('hub', model).replace(os.sep, '__')}.json"
    known = [file for file in (own / "config.json", note) if file.exists()]
    return json.loads(known[0].read_text(encoding="utf-8")) if known else None


def get_work(part, cells, lengths, sets):
    """Kind of a job, tokens that it prefills and forward calls of one token, for `cells` cells of each length."""
    own = part == "masked" and config["masked"]["scope"] == "all"
    batch = config["masked"]["batch"]
    batches = [-(-sets // (own_rows(length, batch) if own else batch)) for length in lengths]
    return {
        "kind": "masked_all" if own else part,
        "tokens": cells * sum(lengths) * (sets if own else 1),
        "calls": cells * sum(batches) * config["prompt"]["max_new_tokens"],
    }


def get_job_resources(entry, architecture, cards, **settings):
    """Cards, memory and time of one job. Where it needs one card and none is here, memory and time are those of a CPU."""
    work = (architecture, entry["dtype"], entry["quantization"])
    cost = job_resources(*work, cards=cards, **settings)
    on_cpu = cost["gpus"] == 1 and not CARDS and not ON_CLUSTER
    return {**job_resources(*work, cards=0, **settings), "gpus": 1} if on_cpu else cost


def get_cost(model, experiment, cells=None, prompts=1, keep_weights=False):
    """Cards, memory and time of one job (docs/costs.md); without a known architecture those of a small model.

    cells: how many of each length the job answers, None for all. prompts, keep_weights: see `job_memory`.
    """
    entry, part, architecture = get_entry(model), config[experiment], get_architecture(model)
    if architecture is None:
        return {"gpus": entry["gpus"] or 1, "mem_mb": 16000, "runtime_min": 120}
    cells, lengths = cells or len(part["depths"]) * len(part["needles"]), get_lengths(model, experiment)
    settings = {"longest": max(lengths), "rows": 1} | get_work("detection", cells, lengths, 1)
    if experiment != "detection":
        sets, batch = head_set_count(config["head_sets"]), config["masked"]["batch"]
        rows = min(sets * side_by_side(max(lengths)), batch)
        settings = {"longest": max(lengths), "rows": rows} | get_work("masked", cells, lengths, sets)
    settings["tokens"] *= prompts
    settings |= {"prompts": prompts, "keep_weights": keep_weights}
    try:
        return get_job_resources(entry, architecture, entry["gpus"], **settings)
    except CostError as error:
        raise WorkflowError(f"models.{model}, {experiment}.lengths up to {settings['longest']}: {error}")


def get_gpus(model):
    """Cards that the jobs of a model need."""
    costs = [get_cost(model, experiment) for experiment in ("detection", "masked")]
    costs += [get_fact_cost(model)] if model in FACT_MODELS else []
    costs += [get_patching_cost(model)] if model in PATCHED_MODELS else []
    return max(cost["gpus"] for cost in costs)


def get_patching_cost(model):
    """Cards, memory and time of a patched job: two prompts a cell of the masked runs, both kept at a time."""
    return get_cost(model, "masked", prompts=2, keep_weights="weights" in PATCHED["what"])


def get_patching_memory(wildcards, attempt):
    """Host memory in MB; a job that failed is given twice as much."""
    return get_patching_cost(wildcards.model)["mem_mb"] * 2 ** (attempt - 1)


def get_patching_runtime(wildcards, attempt):
    """Minutes; a job that failed is given twice as many."""
    return get_patching_cost(wildcards.model)["runtime_min"] * 2 ** (attempt - 1)


def get_cards(wildcards):
    """Cards of a job. Raises `WorkflowError` when this machine lacks them: Snakemake would run it on fewer."""
    cards = get_gpus(wildcards.model)
    if not ON_CLUSTER and workflow.local_exec and not workflow.dryrun and cards > max(1, CARD_LIMIT):
        raise WorkflowError(
            f"models.{wildcards.model}: its jobs need {cards} cards of 80 GB, and {CARD_LIMIT or 'none'} can be used "
            f"here; run them where there are more (--profile slurm), give models.{wildcards.model}.quantization, or "
            f"set models.{wildcards.model}.gpus, if you know that fewer do"
        )
    return cards


def get_memory(wildcards, attempt):
    """Host memory in MB; a job that failed is given twice as much."""
    return get_cost(wildcards.model, wildcards.experiment)["mem_mb"] * 2 ** (attempt - 1)


def get_runtime(wildcards, attempt):
    """Minutes; a job that failed is given twice as many."""
    return get_cost(wildcards.model, wildcards.experiment)["runtime_min"] * 2 ** (attempt - 1)


def get_trace_runtime(wildcards, attempt):
    """Minutes of a job that answers a cell or two; a job that failed is given twice as many."""
    return get_cost(wildcards.model, wildcards.experiment, cells=1)["runtime_min"] * 2 ** (attempt - 1)


def get_answer_cost(model):
    """Memory and time of a downstream job of a model; without a known architecture those of a small one."""
    entry, architecture, part = config["models"][model], get_architecture(model), config["downstream"]
    if architecture is None:
        return {"mem_mb": 16000, "runtime_min": 240}
    sets = 1 + len(part["sizes"]) * (1 + config["head_sets"]["random_draws"] + config["head_sets"]["bottom"])
    items = max(number or ALL_ITEMS for number in items_of(part).values())
    prefills = sets if config["masked"]["scope"] == "all" else 1
    longest = max(part["max_new_tokens"].get(mode) or ANSWER_LIMIT for mode in ("direct", "cot"))
    settings = {
        "longest": ANSWER_TOKENS,
        "tokens": items * ANSWER_TOKENS * prefills,
        "rows": part["batch"],
        "kind": "downstream",
        "new_tokens": longest,
        "calls": -(-items * sets // (part["batch"] * ROWS_EACH)) * longest,
    }
    return get_job_resources(entry, architecture, get_gpus(model), **settings)


def get_answer_memory(wildcards, attempt):
    """Host memory in MB; a job that failed is given twice as much."""
    return get_answer_cost(wildcards.model)["mem_mb"] * 2 ** (attempt - 1)


def get_answer_runtime(wildcards, attempt):
    """Minutes; a job that failed is given twice as many."""
    return get_answer_cost(wildcards.model)["runtime_min"] * 2 ** (attempt - 1)


def get_export_cost(wildcards):
    """Memory and time of writing a checkpoint on the CPU; without a known architecture those of a small model."""
    architecture = get_architecture(wildcards.model)
    if architecture is None:
        return {"mem_mb": 16000, "runtime_min": 120}
    return export_resources(architecture, get_entry(wildcards.model)["dtype"])


def get_export_memory(wildcards, attempt):
    """Host memory in MB; a job that failed is given twice as much."""
    return get_export_cost(wildcards)["mem_mb"] * 2 ** (attempt - 1)


def get_export_runtime(wildcards, attempt):
    """Minutes; a job that failed is given twice as many."""
    return get_export_cost(wildcards)["runtime_min"] * 2 ** (attempt - 1)


def get_fact_cost(model):
    """Cards, memory and time of a job of this stage; without a known architecture those of a small model."""
    entry, architecture = config["models"][model], get_architecture(model)
    if architecture is None:
        return {"gpus": entry["gpus"] or 1, "mem_mb": 16000, "runtime_min": 120}
    cells, sets = sum(FACT_COUNTS.values()) * len(FACTS["depths"]), 2 + FACTS["random_draws"] + len(FACTS["lowest"])
    rows = min(sets, config["masked"]["batch"])
    works = [get_work("detection", cells, FACTS["lengths"], 1), get_work("masked", cells, FACTS["lengths"], sets)]
    settings = [{"longest": max(FACTS["lengths"]), "rows": rows, **work} for work in works]
    try:
        costs = [get_job_resources(entry, architecture, entry["gpus"], **work) for work in settings]
    except CostError as error:
        raise WorkflowError(f"models.{model}, sum_attention.lengths up to {max(FACTS['lengths'])}: {error}")
    return {name: max(cost[name] for cost in costs) for name in costs[0]}


def get_fact_memory(wildcards, attempt):
    """Host memory in MB; a job that failed is given twice as much."""
    return get_fact_cost(wildcards.model)["mem_mb"] * 2 ** (attempt - 1)


def get_fact_runtime(wildcards, attempt):
    """Minutes; a job that failed is given twice as many."""
    return get_fact_cost(wildcards.model)["runtime_min"] * 2 ** (attempt - 1)


# Only downloads may use the network; nodes of a cluster often have none, and a job must not wait for it.
os.environ.update(HF_HUB_OFFLINE="1")
# Threads of torch that wait for each other spin without end by default and collapse beside other busy processes: after a
# short spin they sleep (GNU and LLVM OpenMP; docs/benchmarks.md). A value of the user's own stays.
for variable, value in {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}.items():
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(variable, value)


resource_scopes:
    gpu="local",


def register_machine():
    """Limit the jobs of one machine to its cards and memory (or to `--resources gpu=N mem_mb=M`).

    A cluster's scheduler counts its own. A job that needs more memory than there is runs alone.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6
    for name, limit in {"gpu": len(CARDS), "mem_mb": memory}.items():
        if not ON_CLUSTER and name not in workflow.global_resources:
            workflow.register_resource(name, limit)
