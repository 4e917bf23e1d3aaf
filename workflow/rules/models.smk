# Checkpoints.
# Needs: config `models`; for the phantom the haystacks and needles; for a hub model the network.
# Makes: results/models/phantom/, results/models/<model>/ (fetched), results/<model>/model.json (facts and file hashes).


localrules:
    fetch,


rule build_phantom:
    input:
        haystacks=HAYSTACKS,
        needles=[NEEDLES, *PHANTOM_FACTS],
        documents=PHANTOM_DOCUMENTS,
        code=core(
            "haystack",
            "needles",
            "placement",
            "phantom/tokenizer",
            "phantom/layout",
            "phantom/heads",
            "phantom/construction",
        ),
    output:
        expand("results/models/phantom/{file}", file=PHANTOM_FILES),
    log:
        "logs/build_phantom.log",
    conda:
        "../../envs/models.yaml"
    params:
        template=lambda wildcards: config["prompt"]["template"],
    message:
        "Building the phantom: a model whose retrieval heads are known by construction"
    script:
        "../scripts/build_phantom.py"


rule fetch:
    output:
        directory("results/models/{model}"),
    log:
        "logs/{model}/fetch.log",
    wildcard_constraints:
        model="|".join(HUB_MODELS) or "no-hub-model",
    conda:
        "../../envs/models.yaml"
    params:
        hub=lambda wildcards: config["models"][wildcards.model]["hub"],
        revision=lambda wildcards: config["models"][wildcards.model]["revision"],
    message:
        "Fetching {wildcards.model} from the hub"
    script:
        "../scripts/fetch.py"


rule inspect:
    input:
        files=get_checkpoint_files,
        code=core("models"),
    output:
        "results/{model}/model.json",
    log:
        "logs/{model}/inspect.log",
    conda:
        "../../envs/models.yaml"
    params:
        checkpoint=get_checkpoint,
        spec=get_model_spec,
    message:
        "Reading the architecture of {wildcards.model}"
    script:
        "../scripts/inspect_model.py"
