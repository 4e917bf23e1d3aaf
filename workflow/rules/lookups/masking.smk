# What the rules of masking.smk look up in the config.


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
