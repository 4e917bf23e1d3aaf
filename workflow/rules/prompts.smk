# Haystacks in the tokens of each model, and needles placed in them.
# Needs: resources/haystacks/*.txt, the needle table, results/<model>/model.json.
# Makes: results/<model>/haystacks.npz, results/<model>/<experiment>/{placement.tsv, pieces.json}.


def get_grid(wildcards):
    """The cells of one experiment, and how the length is spent: exactly what decides its placement."""
    part = config[wildcards.experiment]
    calibration = wildcards.experiment == "calibration"
    return as_param(
        {
            "needles": config["detection" if calibration else wildcards.experiment]["needles"],
            "lengths": part["lengths"],
            "depths": part["depths"],
            # The phantom is measured at lengths that no haystack of the project has; its needles stay unique.
            "repeat_haystack": calibration or config["haystacks"]["repeat"],
            "chat": config["models"][wildcards.model]["chat"],
            **config["prompt"],
        }
    )


rule tokenise:
    message:
        "Tokenising {HAYSTACKS} for {wildcards.model}"
    input:
        haystacks=HAYSTACKS,
        model="results/{model}/model.json",
        code=core("haystack"),
    output:
        "results/{model}/haystacks.npz",
    params:
        checkpoint=get_checkpoint,
    log:
        "logs/{model}/tokenise.log",
    conda:
        "../../envs/models.yaml"
    script:
        "../scripts/tokenise.py"


rule place:
    message:
        "Placing the needles of the {wildcards.experiment} cells of {wildcards.model}"
    input:
        haystacks="results/{model}/haystacks.npz",
        needles=NEEDLES,
        model="results/{model}/model.json",
        code=core("haystack", "needles", "placement"),
    output:
        placement="results/{model}/{experiment}/placement.tsv",
        pieces="results/{model}/{experiment}/pieces.json",
    params:
        checkpoint=get_checkpoint,
        grid=get_grid,
    log:
        "logs/{model}/place_{experiment}.log",
    conda:
        "../../envs/models.yaml"
    script:
        "../scripts/place.py"
