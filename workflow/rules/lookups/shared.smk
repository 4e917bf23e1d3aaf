# What several rule files look up in the config, and what single ones do in a function or two.


# Asked for every job; the code is as it was when Snakemake was started.
digest_once = cache(code_digest)


def get_code(script):
    """Digest of a script and of all code that it imports, as a rule's param: an edit of either reruns the rule.

    The replication of the released code counts for its variants alone.
    """

    def digest(wildcards):
        guest = script.startswith("replication/") or getattr(wildcards, "model", None) in QUIRKS
        return digest_once(SCRIPTS / f"{script}.py", SOURCE, () if guest else ("retrieval_heads.replication",))

    return digest


def as_param(value):
    """A rule parameter that changes exactly when its content does (not with the order of keys).

    Params give it by a function: in a plain string Snakemake would take the braces for wildcards.
    """
    return json.dumps(value, sort_keys=True)


def get_entry(model):
    """What the config says of a model; a variant has no entry of its own."""
    return config["models"][BASES.get(model, model)]


def get_checkpoint(wildcards):
    """The folder that holds a model's checkpoint."""
    model = BASES.get(wildcards.model, wildcards.model)
    path = config["models"][model].get("path", f"results/models/{model}")
    return path if path.startswith("results/") else located(path)


def get_model_spec(wildcards):
    """What of a model's entry changes its results: not its label, not its number of cards."""
    entry = get_entry(wildcards.model)
    return as_param({key: entry[key] for key in ("dtype", "attention", "quantization", "rope", "window")})


def get_lengths(model, experiment):
    """Lengths of an experiment in tokens; a model may have its own. The calibration is the phantom's alone."""
    own = None if experiment == "calibration" else get_entry(model).get("lengths")
    return own or config[experiment]["lengths"]


def get_folder(wildcards):
    """Where the side files of an experiment lie; a shard's too."""
    return f"results/{wildcards.model}/{wildcards.experiment}"


def get_shard(wildcards):
    """The needle of a job that computes the cells of one needle only; empty for all."""
    return getattr(wildcards, "needle", "")


def get_shards(wildcards):
    """The jobs that fill a job's cells, one a needle, where the model's entry asks for them."""
    if get_shard(wildcards) or not get_entry(wildcards.model)["shards"]:
        return []
    kind = "runs" if wildcards.experiment == "masked" else "cells"
    return expand(
        f"results/{wildcards.model}/{wildcards.experiment}/shards/{{needle}}.{kind}.tsv",
        needle=config[wildcards.experiment]["needles"],
    )


def get_checkpoint_files(wildcards):
    """What stands for a checkpoint among a rule's inputs: the files of a folder, or the folder that a rule makes."""
    folder = get_checkpoint(wildcards)
    if folder in BUILT:
        return [f"{folder}/{file}" for file in BUILT[folder]]
    if BASES.get(wildcards.model, wildcards.model) in [*HUB_MODELS, *GGUF_MODELS]:
        return folder
    return [str(path) for path in deciding_files(Path(folder))]


def get_rendering(model):
    """How a model's prompts open, and what its chat template is told: where it has none to fill in, nothing."""
    entry = get_entry(model)
    told = {"date": config["prompt"]["date"], "think_end": entry["think_end"]} if entry["chat"] else {}
    return {"opening": entry["opening"], **told}


def get_quirks(*stages):
    """The quirks of a variant that act in some stages, for a rule's params; none for any other model."""
    return lambda wildcards: acting(QUIRKS[wildcards.model], stages) if wildcards.model in QUIRKS else []


# models.smk


def get_gguf_file(wildcards):
    """The GGUF file of a model: of this machine, or one that is fetched."""
    entry = config["models"][wildcards.model]
    return located(entry["gguf"]) if "gguf" in entry and "hub" not in entry else f"{GGUF_FILES}/{wildcards.model}.gguf"


def get_gguf_key(wildcards):
    """The key of the config that names a model's GGUF file, for messages."""
    entry = config["models"][wildcards.model]
    return f"models.{wildcards.model}.{'gguf' if 'gguf' in entry else 'package'}"


# prompts.smk


def get_placement_quirks(wildcards):
    """Those that act where the needles of one experiment are placed."""
    return get_quirks(f"place_{wildcards.experiment}")(wildcards)


# detection.smk


def steps_output(path):
    """The per-step table among a job's outputs, where the config asks for it."""
    return {"steps": path} if config["detection"]["steps"] else {}


# head_scores.smk


def get_ranking_score(wildcards):
    """The score that ranks the heads of a model; variants rank by Eq. 1 of the paper or, with the quirk, by the count."""
    if wildcards.model not in QUIRKS:
        return config["detection"]["rank_by"]
    return "copy_count" if "count_repeats" in QUIRKS[wildcards.model] else "copy_set"


def get_given_files(wildcards):
    """The file of head scores made elsewhere, and the sidecar of one that this workflow made."""
    entry = config["head_scores"]["models"][wildcards.model]
    file = Path(whole_path(config["head_scores"]["folder"], entry["file"], located))
    sidecar = [file.with_suffix(".meta.json")] if entry["format"] == "own" else []
    return [located(str(path)) for path in (file, *sidecar)]


def exports_input():
    """Every model's head scores in the formats of others; DuoAttention's needs to know which heads share keys."""
    ungrouped = [model for model in GIVEN if "group_size" not in config["head_scores"]["models"][model]]
    grouped = [model for model in SCORED if model not in ungrouped]
    return [
        *expand("results/exports/{model}/{file}", model=SCORED, file=["envelope.json", "qrhead.json"]),
        *expand("results/exports/{model}/full_attention_heads.tsv", model=grouped),
    ]


# masking.smk


def get_head_sets(wildcards):
    """The head sets of a study come from the ranking; those of the calibration from the phantom's plan."""
    own = "calibration/" if wildcards.experiment == "calibration" else ""
    return f"results/{wildcards.model}/{own}head_sets.json"


def get_masking(wildcards):
    """How heads are masked."""
    masking = {key: config["masked"][key] for key in ("mode", "scope", "unit")}
    if "zero_query" in QUIRKS.get(wildcards.model, ()):
        masking |= {"mode": "zero_query", "scope": "decode"}
    return as_param(masking)


# reference_models.smk


def get_needle_names(part):
    """The needles of one part of the config."""
    return config.get(part, {}).get("needles", [])


# replication.smk


def get_base_files(*files):
    """Files of the model that a variant is one of."""
    return lambda wildcards: [f"results/{BASES[wildcards.model]}/{file}" for file in files]


# plan.smk


def get_fact_plan():
    """What the plan follows from: the stage's settings, and how many facts identify heads and how many validate them."""
    return {**FACTS, "models": FACT_MODELS, "facts": FACT_COUNTS} if FACTS else None


def get_plan_settings(wildcards):
    """What the plan of a study follows from."""
    parts = {key: config[key] for key in ("detection", "masked", "head_sets", "prompt")}
    parts["sum_attention"] = get_fact_plan()
    parts["patched"] = {**PATCHED, "models": PATCHED_MODELS} if PATCHED else None
    planned = {model: get_entry(model) for model in [*MODELS, *QUIRKS]}
    return as_param(
        {
            "config": {**parts, "models": planned, "haystacks": {"texts": len(HAYSTACKS)}},
            "architectures": {model: get_architecture(model) for model in planned},
            "detected": [*DETECTED, *(variant for variant in QUIRKS if acting(QUIRKS[variant], CELL_STAGES))],
            "plan": config["plan"],
        }
    )
