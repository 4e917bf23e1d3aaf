# What the rules of models.smk look up in the config.


def get_gguf_file(wildcards):
    """The GGUF file of a model: of this machine, or one that is fetched."""
    entry = config["models"][wildcards.model]
    return located(entry["gguf"]) if "gguf" in entry and "hub" not in entry else f"{GGUF_FILES}/{wildcards.model}.gguf"


def get_gguf_key(wildcards):
    """The key of the config that names a model's GGUF file, for messages."""
    entry = config["models"][wildcards.model]
    return f"models.{wildcards.model}.{'gguf' if 'gguf' in entry else 'package'}"
