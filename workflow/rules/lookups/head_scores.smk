# What the rules of head_scores.smk look up in the config.


def get_ranking_score(wildcards):
    """The score that ranks the heads of a model; variants rank by Eq. 1 of the paper or, with the quirk, by the count."""
    if wildcards.model not in QUIRKS:
        return config["detection"]["rank_by"]
    return "copy_count" if "count_repeats" in QUIRKS[wildcards.model] else "copy_set"


def get_given_files(wildcards):
    """The file of head scores made elsewhere, and the sidecar of one that this workflow made."""
    entry = config["head_scores"]["models"][wildcards.model]
    file = Path(config["head_scores"]["folder"]) / entry["file"]
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
