# What the rules of sum_attention.smk look up in the config.


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
            "rendering": get_rendering(wildcards.model),
            "template": entry.get("template", config["prompt"]["template"]),
            "max_new_tokens": config["prompt"]["max_new_tokens"],
        }
    )


def sum_attention_input():
    """Every table and figure of the stage."""
    if not FACTS:
        return []
    tables = expand("results/tables/sum_attention_{table}.tsv", table=["heads", "tasks", "depths", "lowest"])
    return [*tables, *expand("results/figures/{figure}.svg", figure=FACT_FIGURES)]
