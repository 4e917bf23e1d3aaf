# What the rules of detection.smk look up in the config.


def steps_output(path):
    """The per-step table among a job's outputs, where the config asks for it."""
    return {"steps": path} if config["detection"]["steps"] else {}
