# What the rules of reference_models.smk look up in the config.


def get_needle_names(part):
    """The needles of one part of the config."""
    return config.get(part, {}).get("needles", [])
