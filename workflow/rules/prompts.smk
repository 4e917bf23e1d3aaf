# Haystacks in the tokens of each model, and needles placed in them.
# Needs: resources/haystacks/*.txt, the needle table, results/<model>/model.json.
# Makes: results/<model>/haystacks.npz, results/<model>/<experiment>/{placement.tsv, pieces.json}.


rule tokenise:
    input:
        haystacks=HAYSTACKS,
        model="results/{model}/model.json",
        code=core("haystack"),
        quirks=get_quirk_code,
    output:
        "results/{model}/haystacks.npz",
    log:
        "logs/{model}/tokenise.log",
    conda:
        "../../envs/models.yaml"
    params:
        checkpoint=get_checkpoint,
        quirks=get_quirks("tokenise"),
    message:
        "Tokenising {HAYSTACKS} for {wildcards.model}"
    script:
        "../scripts/tokenise.py"


rule place:
    input:
        haystacks="results/{model}/haystacks.npz",
        needles=NEEDLES,
        model="results/{model}/model.json",
        code=core("haystack", "needles", "placement"),
        quirks=get_quirk_code,
    output:
        placement="results/{model}/{experiment}/placement.tsv",
        pieces="results/{model}/{experiment}/pieces.json",
    log:
        "logs/{model}/place_{experiment}.log",
    conda:
        "../../envs/models.yaml"
    params:
        checkpoint=get_checkpoint,
        grid=get_grid,
        quirks=get_placing_quirks,
    message:
        "Placing the needles of the {wildcards.experiment} cells of {wildcards.model}"
    script:
        "../scripts/place.py"
