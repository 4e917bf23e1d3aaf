# Haystacks in the tokens of each model, and needles placed in them.
# Needs: resources/haystacks/*.txt, the needle table, results/<model>/model.json.
# Makes: results/<model>/haystacks.npz, results/<model>/<experiment>/{placement.tsv, pieces.json}.


def get_placement_quirks(wildcards):
    """Those that act where the needles of one experiment are placed."""
    return get_quirks(f"place_{wildcards.experiment}")(wildcards)


rule tokenize_haystacks:
    input:
        haystacks=HAYSTACKS,
        model="results/{model}/model.json",
    output:
        "results/{model}/haystacks.npz",
    log:
        "logs/{model}/tokenize_haystacks.log",
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
        needles=NEEDLES,
        model="results/{model}/model.json",
    output:
        placement="results/{model}/{experiment}/placement.tsv",
        pieces="results/{model}/{experiment}/pieces.json",
    log:
        "logs/{model}/place_needles_{experiment}.log",
    conda:
        "../../envs/models.yaml"
    params:
        code=get_code("prompts/place_needles"),
        checkpoint=get_checkpoint,
        grid=get_grid,
        quirks=get_placement_quirks,
    message:
        "Placing the needles of the {wildcards.experiment} cells of {wildcards.model}"
    script:
        "../scripts/prompts/place_needles.py"
