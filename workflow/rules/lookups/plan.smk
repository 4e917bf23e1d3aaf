# What the rules of plan.smk look up in the config.


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
