# What the rules of prompts.smk look up in the config.


def get_placement_quirks(wildcards):
    """Those that act where the needles of one experiment are placed."""
    return get_quirks(f"place_{wildcards.experiment}")(wildcards)
