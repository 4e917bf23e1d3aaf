# What the rules of replication.smk look up in the config.


def get_base_files(*files):
    """Files of the model that a variant is one of."""
    return lambda wildcards: [f"results/{BASES[wildcards.model]}/{file}" for file in files]
