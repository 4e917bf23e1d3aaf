# What several rule files look up in the config; a rule file has its own lookups in front of its rules.


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
