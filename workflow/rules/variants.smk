# Variants of models, measured once more with quirks of the released code (docs/quirks.md): which there are, and what they
# change in the jobs of a model. Without config `quirks` there are none.
from retrieval_heads.quirks import CELL_STAGES, PROMPT_STAGES, acting, untouched, variants

QUIRKED = sorted(config["quirks"]["models"] or MODELS) if "quirks" in config else []
VARIANTS = variants(QUIRKED, config["quirks"]["names"]) if QUIRKED else {}
# Variant -> its quirks, and the model that it is a variant of.
QUIRKS = {variant: names for of_model in VARIANTS.values() for variant, names in of_model.items()}
BASES = {variant: model for model, of_model in VARIANTS.items() for variant in of_model}


def get_quirks(*stages):
    """The quirks of a variant that act in some stages, for a rule's params; of any other model none."""
    return lambda wildcards: acting(QUIRKS.get(wildcards.model, ()), stages)


def get_placing_quirks(wildcards):
    """Those that act where the needles of one experiment are placed."""
    return acting(QUIRKS.get(wildcards.model, ()), [f"place_{wildcards.experiment}"])


def get_quirk_code(wildcards):
    """The core files of the quirks, as inputs of a variant's jobs."""
    return core(*(f"quirks/{part}" for part in ("controls", "engine", "prompts"))) if wildcards.model in QUIRKS else []


def get_borrowed(*files):
    """Files of the model that a variant is one of."""
    return lambda wildcards: [f"results/{BASES[wildcards.model]}/{file}" for file in files]


def get_ranking_score(wildcards):
    """The score that ranks the heads of a model; variants rank by Eq. 1 of the paper or, with the quirk, by the count."""
    if wildcards.model not in QUIRKS:
        return config["detection"]["rank_by"]
    return "copy_count" if "count_repeats" in QUIRKS[wildcards.model] else "copy_set"


def get_masking(wildcards):
    """How heads are masked."""
    masking = {key: config["masked"][key] for key in ("mode", "scope", "unit")}
    if "zero_query" in QUIRKS.get(wildcards.model, ()):
        masking |= {"mode": "zero_query", "scope": "decode"}
    return as_param(masking)
