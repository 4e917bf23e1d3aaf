# Checkpoints.
# Needs: config `models`; for the phantom the haystacks and needles; for a hub model the network.
# Makes: results/models/phantom/, results/models/<model>/ (fetched), results/<model>/model.json (facts and file hashes).

PHANTOM_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "phantom.json"]
HUB_MODELS = [model for model, entry in config["models"].items() if "hub" in entry]


localrules:
    fetch,


rule build_phantom:
    message:
        "Building the phantom: a model whose retrieval heads are known by construction"
    input:
        haystacks=HAYSTACKS,
        needles=NEEDLES,
        code=core("haystack", "needles", "placement", "phantom/tokenizer", "phantom/layout", "phantom/heads", "phantom/construction"),
    output:
        expand("results/models/phantom/{file}", file=PHANTOM_FILES),
    params:
        prompt=lambda wildcards: as_param(config["prompt"]["template"]),
    log:
        "logs/build_phantom.log",
    conda:
        "../../envs/models.yaml"
    script:
        "../scripts/build_phantom.py"


rule fetch:
    message:
        "Fetching {wildcards.model} from the hub"
    output:
        directory("results/models/{model}"),
    params:
        hub=lambda wildcards: config["models"][wildcards.model]["hub"],
        revision=lambda wildcards: config["models"][wildcards.model]["revision"],
    wildcard_constraints:
        model="|".join(HUB_MODELS) or "no-hub-model",
    log:
        "logs/{model}/fetch.log",
    conda:
        "../../envs/models.yaml"
    script:
        "../scripts/fetch.py"


def get_checkpoint_files(wildcards):
    """What stands for a checkpoint among a rule's inputs: the files of a folder, or the folder that is fetched."""
    folder = get_checkpoint(wildcards)
    if folder in BUILT:
        return [f"{folder}/{file}" for file in PHANTOM_FILES]
    if wildcards.model in HUB_MODELS:
        return folder
    return sorted(str(path) for path in Path(folder).iterdir() if path.suffix in (".json", ".safetensors", ".model"))


rule inspect:
    message:
        "Reading the architecture of {wildcards.model}"
    input:
        files=get_checkpoint_files,
        code=core("models"),
    output:
        "results/{model}/model.json",
    params:
        checkpoint=get_checkpoint,
        spec=get_model_spec,
    log:
        "logs/{model}/inspect.log",
    conda:
        "../../envs/models.yaml"
    script:
        "../scripts/inspect_model.py"
