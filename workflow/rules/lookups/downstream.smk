# What the rules of downstream.smk look up in the config.


def get_mask_settings():
    """Which head sets are put to the downstream tasks, and how their heads are masked: as in the needle test."""
    return {
        "sizes": config["downstream"]["sizes"],
        "masking": {key: config["masked"][key] for key in ("mode", "scope", "unit")},
    }


def get_answer_settings(wildcards):
    """What decides the responses besides model, items and task file."""
    entry, limits = config["models"][wildcards.model], config["downstream"]["max_new_tokens"]
    return as_param(
        {
            **get_mask_settings(),
            "chat": entry["chat"],
            "rendering": get_rendering(wildcards.model),
            "think_end": entry["think_end"],
            "max_new_tokens": limits.get(wildcards.mode),
            "seed": config["downstream"]["seed"],
        }
    )


def get_fluency_settings(wildcards):
    """What decides a perplexity besides model and texts."""
    opening, tokens = get_entry(wildcards.model)["opening"], config["downstream"]["fluency_tokens"]
    return as_param({**get_mask_settings(), "opening": opening, "tokens": tokens})


def get_task_source(wildcards):
    """Where the items of a task come from."""
    given = config["downstream"]["sources"].get(wildcards.task, {})
    if "path" in given:
        given = {**given, "path": located(given["path"])}
    return as_param(source_of(wildcards.task, given, located("resources/extractqa")))


def get_task_source_files(wildcards):
    """The files of a local source."""
    folder = json.loads(get_task_source(wildcards)).get("path")
    return sorted(str(path) for path in Path(folder).rglob("*") if path.is_file()) if folder else []


def get_sampling_settings(wildcards):
    """Which items of a task are asked."""
    part = config["downstream"]
    return as_param({"items": items_of(part)[wildcards.task], "seed": part["seed"], "longest": part["longest"]})


def get_task_files(wildcards):
    """The scorer of spans, and the files of a task of this project with what they include."""
    own = [] if wildcards.mode == HARNESS else TASK_FILES.glob(f"_{wildcards.task}*_yaml")
    form = [] if wildcards.mode == HARNESS else [TASK_FILES / f"{wildcards.task}_{wildcards.mode}.yaml"]
    return [located(f"workflow/tasks/{path.name}") for path in (TASK_FILES / "spans.py", *form, *sorted(own))]


def get_scorer_code(wildcards):
    """Digests of what the task files call by name, which no script imports: readers of answers, scorers of spans."""
    return [code_digest(file, SOURCE) for file in sorted(TASK_FILES.glob("*.py"))]


def downstream_input():
    """The report of the downstream tasks, where there are any."""
    return expand("results/tables/{table}.tsv", table=["downstream", "downstream_contrasts"] if ASKED else [])
