"""Downloads: the files that decide a model's answers, of one commit, and a refusal where there are no weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from tokenizers_at_hand import ROOT

from retrieval_heads.models.checkpoint.files import deciding_names
from retrieval_heads.sources.packages import PIN, begin_part
from stand_in_hub import commit, serve

SCRIPT = ROOT / "workflow/scripts/models/download_model.py"
CALL = """
import importlib.util, logging, sys
spec = importlib.util.spec_from_file_location("download_model", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.download_model("mine", "someone/model", sys.argv[2], sys.argv[3], logging.getLogger())
"""


def fill(folder, **contents) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"config.json": "{}", "tokenizer.json": "{}", **contents}.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))


def download(hub, target, revision="main"):
    """Run the script's function in a process of its own: huggingface_hub reads the hub's address once."""
    with serve(hub) as address:
        return call(address, target, revision)


def call(address, target, revision):
    """The script's function on the hub at `address`."""
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(target.parent / "cache")}
    environment["PYTHONPATH"] = str(ROOT / "src")
    command = [sys.executable, "-c", CALL, str(SCRIPT), revision, str(target)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_files_of_the_index_and_no_copies(tmp_path):
    shards = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    files = {"model-1.safetensors": "1", "model-2.safetensors": "2", "model.safetensors.index.json": shards}
    copies = {"consolidated.safetensors": "12", "pytorch_model.bin": "12", "README.md": "card", "own.py": "code"}
    fill(tmp_path / "hub", **files, **copies, **{"chat_template.jinja": "{{ messages }}"})
    run = download(tmp_path / "hub", tmp_path / "model")
    assert run.returncode == 0, run.stderr
    found = {path.name for path in (tmp_path / "model").iterdir()}
    assert found == {"config.json", "tokenizer.json", "chat_template.jinja", *files}
    assert not (tmp_path / "model.part").exists()


@pytest.mark.parametrize("note", [None, "0" * 40, "same"])
def test_a_part_folder_belongs_to_one_commit(tmp_path, note):
    shards = {"weight_map": {"a": "model-1.safetensors"}}
    fill(tmp_path / "hub", **{"model-1.safetensors": "new", "model.safetensors.index.json": shards})
    part = tmp_path / "model.part"
    fill(part, **{"model.safetensors": "old"})
    if note:
        pin = {"hub": "someone/model", "commit": commit("main") if note == "same" else note}
        begin_part(tmp_path / "other", pin)
        (tmp_path / "other" / PIN).rename(part / PIN)
    run = download(tmp_path / "hub", tmp_path / "model")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "model/model.safetensors").exists() == (note == "same")
    assert (tmp_path / "model/model-1.safetensors").read_text() == "new"


def test_pickled_weights_are_fetched_where_there_are_no_others(tmp_path):
    fill(tmp_path / "hub", **{"pytorch_model.bin": "weights", "training_args.bin": "settings"})
    assert download(tmp_path / "hub", tmp_path / "model").returncode == 0
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "config.json",
        "tokenizer.json",
        "pytorch_model.bin",
    }


REFUSED = {
    "none": ({"consolidated.safetensors": "1"}, "models.mine.hub: 'someone/model' holds no model.safetensors of a tr"),
    "gguf": ({"model.gguf": "1"}, "models.mine.hub: 'someone/model' holds no model.safetensors of a transformers m"),
    "shard": (
        {"model.safetensors.index.json": {"weight_map": {"a": "model-1.safetensors"}}},
        "models.mine.hub: the index of 'someone/model' names model-1.safetensors, which is not there; choose a",
    ),
}


@pytest.mark.parametrize(("files", "message"), REFUSED.values(), ids=REFUSED)
def test_a_repository_without_weights_is_refused_before_they_are_downloaded(tmp_path, files, message):
    fill(tmp_path / "hub", **files)
    run = download(tmp_path / "hub", tmp_path / "model")
    assert run.returncode != 0 and message in run.stderr
    assert not (tmp_path / "model").exists()


def test_a_hub_that_cannot_be_reached_is_said_in_one_sentence(tmp_path):
    with serve(tmp_path) as gone:
        pass
    run = call(gone, tmp_path / "model", "main")
    last = run.stderr.splitlines()[-1]
    assert run.returncode != 0
    assert "HubError: models.mine.hub: 'someone/model' could not be fetched from the hub ([Errno" in last
    assert last.endswith(
        "look at the network and run again, which goes on with what is there, or use files of your own"
    )


def test_copies_in_other_formats_and_the_card_do_not_count():
    shards = ["model-1.safetensors", "model-2.safetensors"]
    names = [
        *("README.md", "LICENSE", "modeling_own.py", "consolidated.safetensors", "original/params.json"),
        *("original/consolidated.00.pth", "pytorch_model.bin", "pytorch_model.bin.index.json", "training_args.bin"),
        *("config.json", "tokenizer.json", "tokenizer.model", "merges.txt", "chat_template.jinja"),
        *("model.safetensors.index.json", *shards),
    ]
    wanted = deciding_names(names, lambda name: {"weight_map": {"a": shards[0], "b": shards[1]}})
    assert wanted == sorted([*names[9:]])
