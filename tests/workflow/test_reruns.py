"""What reruns when something changes: every case states the exact jobs, model by model."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from finished_tree import ORGANISM, SMALL, STUDY, Tree
from fresh_clone import clone_into
from stand_in_hub import serve

DRAWING = {"drawing"}


def jobs(*stages: str, models: tuple[str, ...] = ("first", "second")) -> set[str]:
    """`stage model` for every stage and model."""
    return {f"{stage} {model}" for stage in stages for model in models}


def after_detection(**where) -> set[str]:
    """What follows a new detection: other scores may mean other head sets, and those other masked runs."""
    return (
        jobs("detect_heads", "aggregate_scores", "select_head_sets", "run_masked_niah", "trace_attention", **where)
        | DRAWING
    )


def whole_chain(*models: str) -> set[str]:
    return jobs(
        "inspect_model", "tokenize_haystacks", "place_needles detection", "place_needles masked", models=models
    ) | after_detection(models=models)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Tree:
    made = Tree(tmp_path_factory.mktemp("tree"))
    clone_into(made.folder, SMALL)
    made.snakemake(*STUDY)
    return made


@pytest.fixture
def tree(finished):
    yield finished
    finished.restore()


def with_model(name: str, **entry):
    """A change of the config: keys of one model's entry."""

    def change(config: dict) -> dict:
        config["models"][name] = {**config["models"].get(name, {}), **entry}
        return config

    return change


def with_part(section: str, **keys):
    """A change of the config: keys of one section."""

    def change(config: dict) -> dict:
        config[section].update(keys)
        return config

    return change


def turned_round(value):
    """The same mapping with its keys in the opposite order, all the way down."""
    if isinstance(value, dict):
        return {key: turned_round(value[key]) for key in reversed(value)}
    return value


def without_second(config: dict) -> dict:
    del config["models"]["second"]
    return config


CONFIG_CASES = {
    "dtype of one model": (with_model("first", dtype="bfloat16"), whole_chain("first")),
    "mask setting": (with_part("masked", mode="zero_query"), jobs("run_masked_niah", "trace_attention") | DRAWING),
    "sizes of the head sets": (
        with_part("head_sets", sizes=[2, 3]),
        jobs("select_head_sets", "run_masked_niah", "trace_attention") | DRAWING,
    ),
    "a model added": (with_model("third", **ORGANISM), whole_chain("third")),
    "a model removed": (without_second, DRAWING),
    "a length added": (with_part("detection", lengths=[256, 320]), jobs("place_needles detection") | after_detection()),
    "a label": (with_model("first", label="The first one"), DRAWING),
    "cards of one model": (with_model("first", gpus=2), set()),
    "keys in another order": (turned_round, set()),
}


@pytest.mark.parametrize(("change", "expected"), CONFIG_CASES.values(), ids=CONFIG_CASES)
def test_an_edit_of_the_config(tree, change, expected):
    tree.configure(change)
    assert tree.planned() == expected


FILE_CASES = {
    "a comment in the config": ("config/config.yaml", set()),
    "code that scores": (
        "src/retrieval_heads/detection/scores.py",
        jobs("detect_heads", "aggregate_scores", "select_head_sets", "run_masked_niah", "trace_attention") | DRAWING,
    ),
    "code that masks": ("src/retrieval_heads/masking/niah.py", jobs("run_masked_niah", "trace_attention") | DRAWING),
    "code that traces": ("src/retrieval_heads/detection/attention_trace.py", jobs("trace_attention") | DRAWING),
    "code that places": (
        "src/retrieval_heads/prompts/placement.py",
        jobs("place_needles detection", "place_needles masked") | after_detection(),
    ),
    "code that summarizes": ("src/retrieval_heads/masking_analysis/tables.py", DRAWING),
    "code that plots": ("src/retrieval_heads/figures/plotting.py", DRAWING),
    "code of the replication, which is not part of this study": ("src/retrieval_heads/replication/engine.py", set()),
}


@pytest.mark.parametrize(("name", "expected"), FILE_CASES.values(), ids=FILE_CASES)
def test_an_edit_of_a_file(tree, name, expected):
    line = "CHANGED = 1" if name.endswith(".py") else "# Another line."
    tree.edit(name, lambda text: f"{text}\n{line}\n")
    assert tree.planned() == expected


@pytest.mark.parametrize("name", [name for name, _ in FILE_CASES.values() if name.endswith(".py")])
def test_an_edited_comment_or_docstring_reruns_nothing(tree, name):
    tree.edit(name, lambda text: text.replace('"""', '"""Reworded: ', 1) + "\n# Another line.\n")
    assert tree.planned() == set()


def test_finished_cells_survive_a_comment_and_not_a_formula(tree, tmp_path):
    """The keys of cells follow the same rule as the jobs: run again by force, a job finds all of its cells, or none."""
    own = Tree(tmp_path / "own")
    shutil.copytree(tree.folder, own.folder, copy_function=shutil.copy2)
    cells, code = "results/first/detection/cells.tsv", "src/retrieval_heads/engine/attention/weights.py"
    own.edit(code, lambda text: text + "\n# Another line.\n")
    own.snakemake("--force", cells)
    assert "6 of 6 cells are done already" in own.log("first")
    own.edit(code, lambda text: text + "\nCHANGED = 1\n")
    own.snakemake(cells)
    assert "0 of 6 cells are done already" in own.log("first")


def test_a_caption_reruns_nothing(tree):
    tree.edit("workflow/report/figure.rst", lambda text: text + "\nOne more sentence.\n")
    assert tree.planned() == set()


def test_a_second_run_does_nothing(tree):
    assert tree.planned() == set()


def test_resources_rerun_nothing(tree):
    assert tree.planned(options=["--set-resources", "detect_heads:mem_mb=1", "run_masked_niah:runtime=1"]) == set()


def test_results_copied_to_another_folder_rerun_nothing(tree, tmp_path):
    other = Tree(tmp_path / "moved")
    shutil.copytree(tree.folder, other.folder, copy_function=shutil.copy2)
    assert other.planned() == set()


def test_a_new_revision_of_a_hub_model_reruns_that_model(tree, monkeypatch):
    with serve(tree.folder / ORGANISM["path"]) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        tree.configure(with_model("hubbed", hub="someone/model", revision="one", dtype="float32"))
        last = "results/hubbed/masked/trace.tsv"
        tree.snakemake(last)
        assert tree.planned([last]) == set()
        tree.configure(with_model("hubbed", revision="two"))
        assert tree.planned([last]) == {"download_model hubbed"} | whole_chain("hubbed") - DRAWING


def test_an_edit_of_any_file_of_a_checkpoint_reruns_that_model(tree):
    """Also of those that are not JSON: the chat template, and weights in PyTorch's format."""
    folder = tree.folder / "resources/models/own"
    shutil.copytree(tree.folder / ORGANISM["path"], folder, ignore=shutil.ignore_patterns("*.safetensors"))
    weights = load_file(tree.folder / ORGANISM["path"] / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    template = folder / "chat_template.jinja"
    template.write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}", encoding="utf-8")
    tree.configure(with_model("own", path="resources/models/own", dtype="float32", chat=True))
    cells = "results/own/detection/cells.tsv"
    tree.snakemake(cells)
    assert tree.planned([cells]) == set()
    detection = jobs("inspect_model", "tokenize_haystacks", "place_needles detection", "detect_heads", models=("own",))
    tree.edit("resources/models/own/chat_template.jinja", lambda text: "\n" + text)
    assert tree.planned([cells]) == detection
    template.write_text(tree.before[template], encoding="utf-8")
    assert tree.planned([cells]) == set()
    torch.save({name: weight * 0.99 for name, weight in weights.items()}, folder / "pytorch_model.bin")
    assert tree.planned([cells]) == detection
    tree.snakemake(cells)
    assert "0 of 6 cells are done already" in tree.log("own")


def test_an_added_length_computes_the_new_cells_only(tree):
    tree.configure(with_part("detection", lengths=[256, 320]))
    tree.snakemake("results/first/detection/cells.tsv")
    assert "6 of 12 cells are done already" in tree.log("first")


def test_an_edited_needle_computes_its_own_cells_only(tree):
    tree.edit("resources/needles.tsv", lambda text: text.replace("smoked paprika", "sweet paprika"))
    assert tree.planned() == jobs("place_needles detection", "place_needles masked") | after_detection()
    tree.snakemake("results/second/detection/cells.tsv")
    assert "3 of 6 cells are done already" in tree.log("second")


def test_a_one_off_does_not_spoil_the_next_run(tree):
    """Other sizes once, on the command line; the next run goes back to the config and to the same runs."""
    target = "results/first/masked/errors.tsv"
    tree.snakemake(target)
    runs = tree.folder / "results/first/masked/runs.tsv"
    before = runs.read_bytes()
    one_off = json.dumps({**SMALL["head_sets"], "sizes": [1]})
    tree.snakemake("--config", f"head_sets={one_off}", "--", target)
    assert runs.read_bytes() != before
    tree.snakemake(target)
    assert runs.read_bytes() == before
    assert tree.planned([target]) == set()
