# Checkpoints: downloaded, and read for what they are made of.
# Needs: config `models`; for a hub model the network.
# Makes: results/models/<model>/ (downloaded), results/<model>/model.json (model info and file hashes).


localrules:
    download_model,


rule download_model:
    output:
        directory("results/models/{model}"),
    log:
        "logs/{model}/download_model.log",
    wildcard_constraints:
        model="|".join(HUB_MODELS) or "no-hub-model",
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


rule inspect_model:
    input:
        files=get_checkpoint_files,
    output:
        "results/{model}/model.json",
    log:
        "logs/{model}/inspect_model.log",
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
