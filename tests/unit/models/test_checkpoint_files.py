"""One list of the files that decide a model's answers; broken checkpoints end in one sentence before anything runs."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from retrieval_heads.models import loading
from retrieval_heads.models.checkpoint.files import deciding_files
from retrieval_heads.models.unsupported import ModelError

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    tiny_models.build("llama").save_pretrained(folder)
    tiny_models.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "model"))


def edit(folder: Path, file: str = "config.json", **changes) -> None:
    saved = json.loads((folder / file).read_text())
    for key, value in changes.items():
        if value is None:
            saved.pop(key, None)
        else:
            saved[key] = value
    (folder / file).write_text(json.dumps(saved))


def reweigh(folder: Path, change) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", metadata={"format": "pt"})


def without(name: str):
    return lambda weights: {key: value for key, value in weights.items() if key != name}


def index(folder: Path, shards: dict[str, str]) -> None:
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def truncate(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def pickle(folder: Path) -> None:
    """Weights as a pickle that runs code when it is read."""

    class Code:
        def __reduce__(self):
            return print, ("code of a checkpoint runs",)

    (folder / "model.safetensors").unlink()
    torch.save({"model.embed_tokens.weight": Code()}, folder / "pytorch_model.bin")


def header(folder: Path, content: bytes) -> None:
    """A safetensors file of a header alone."""
    (folder / "model.safetensors").write_bytes(len(content).to_bytes(8, "little") + content)


def as_bin(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)


def pickled(content) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


Q_PROJ = "model.layers.1.self_attn.q_proj.weight"
BROKEN = {
    "custom code": (
        lambda f: edit(f, model_type="homemade", auto_map={"AutoConfig": "a.B", "AutoModelForCausalLM": "a.C"}),
        "model type 'homemade' needs code that lies in the checkpoint; code of a checkpoint is not run",
    ),
    "unknown type": (lambda f: edit(f, model_type="homemade"), "does not know its model type 'homemade'; choose a"),
    "no type": (lambda f: edit(f, model_type=None), "its config.json names no model_type"),
    "encoder": (lambda f: edit(f, model_type="vit"), "model type 'vit' has no causal language model"),
    "GPTQ": (
        lambda f: edit(f, quantization_config={"quant_method": "gptq", "bits": 4}),
        "saved quantised by 'gptq', whose layers the project cannot reach; take the checkpoint that is not quantised",
    ),
    "no configuration": (lambda f: (f / "config.json").unlink(), "it has no config.json; give the folder"),
    "broken configuration": (lambda f: (f / "config.json").write_text('{"model'), "config.json is no JSON"),
    "adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), "it is an adapter .*merge_and_unload"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "it has no tokenizer.json; put the tokenizer.json"),
    "tokenizer of an unknown kind": (
        lambda f: (f / "tokenizer.json").write_text('{"version": "9"}'),
        r"its tokenizer cannot be read \(.*; put the tokenizer.json",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "it has no weights .*download the checkpoint again"),
    "missing shard": (
        lambda f: index(f, {"a": "model-1.safetensors", "b": "model-2.safetensors"}),
        "index.json names model-2.safetensors, and the folder does not hold it; download",
    ),
    "pointer of Git LFS": (
        lambda f: (f / "model.safetensors").write_text(LFS),
        "model.safetensors is a pointer of Git LFS in place of the file; run `git lfs pull`",
    ),
    "index of numbers": (lambda f: index(f, {"a": 1}), "index.json names no file of weights"),
    "index without metadata": (
        lambda f: index(f, {"a": "model-1.safetensors"}),
        "index.json has no 'metadata'; write \"metadata\": {} beside",
    ),
    "header that is a list": (lambda f: header(f, b"[]"), "model.safetensors is cut off or no safetensors file"),
    "header without places": (lambda f: header(f, b'{"a":{"b":1}}'), "model.safetensors is cut off or no safetensors"),
    "page in place of weights": (
        lambda f: as_bin(f, b"<!DOCTYPE html>"),
        "pytorch_model.bin is no file of weights that PyTorch wrote; download",
    ),
    "empty pickle": (lambda f: as_bin(f, b""), "pytorch_model.bin is no file of weights that PyTorch wrote"),
    "pickle of a list": (lambda f: as_bin(f, pickled([1])), r"its weights cannot be read \(TypeError"),
    "nested brackets": (lambda f: (f / "config.json").write_text("[" * 100_000), "config.json is no JSON"),
    "two types": (lambda f: edit(f, model_type=["llama"]), r'its config.json names \["llama"\] as model_type'),
    "unknown activation": (
        lambda f: edit(f, hidden_act="swoosh"),
        "names 'swoosh', which transformers does",
    ),
    "foreign text part": (lambda f: edit(f, text_config={"a": 1}), "has a text_config, and model type 'llama' none"),
    "number as text": (lambda f: edit(f, num_hidden_layers="3"), "'num_hidden_layers' expected int, got str"),
    "heads that do not divide": (lambda f: edit(f, num_attention_heads=3), "is not a multiple of the number of"),
    "list of settings": (
        lambda f: (f / "generation_config.json").write_text("[1]"),
        "generation_config.json holds no settings",
    ),
    "ends as text": (
        lambda f: (f / "generation_config.json").write_text('{"eos_token_id": "</s>"}'),
        'generation_config.json has "</s>" as eos_token_id; write token ids',
    ),
    "whole numbers as weights": (
        lambda f: reweigh(f, lambda weights: weights | {Q_PROJ: (weights[Q_PROJ] * 127).to(torch.int8)}),
        rf"1 weights are whole numbers \({Q_PROJ}\), and its config.json names no quantization_config; take",
    ),
    "truncated": (truncate, "model.safetensors is cut off or no safetensors file; download"),
    "pickle with code": (pickle, r"its weights cannot be read \(UnpicklingError: not of tensors alone\); download"),
    "missing tensor": (
        lambda f: reweigh(f, without("model.layers.2.self_attn.q_proj.weight")),
        r"1 tensors are missing \(model.layers.2.self_attn.q_proj.weight\); save the checkpoint again",
    ),
    "other shape": (
        lambda f: edit(f, intermediate_size=40),
        r"9 tensors have another shape \(model.layers.0.mlp.down_proj.weight \[32, 48\] for \[32, 40\], .*\.\.\.\)",
    ),
    "prefixed": (
        lambda f: reweigh(f, lambda weights: {f"base_model.model.{name}": value for name, value in weights.items()}),
        r"tensors are missing .* belong to no part of the model .*merge the adapter",
    ),
    "left over": (
        lambda f: reweigh(f, lambda weights: {**weights, "model.layers.3.mlp.up_proj.weight": torch.ones(48, 32)}),
        r"1 tensors belong to no part of the model \(model.layers.3.mlp.up_proj.weight\)",
    ),
}


@pytest.mark.parametrize(("break_it", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_checkpoint_ends_in_one_sentence(checkpoint, monkeypatch, break_it, message):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    break_it(checkpoint)
    for read in (loading.describe, lambda path: loading.load(path, device="cpu")):
        with pytest.raises(ModelError, match=message) as raised:
            read(str(checkpoint))
        assert "\n" not in str(raised.value) and str(checkpoint) in str(raised.value)
        assert "; " in str(raised.value) and "trust_remote_code" not in str(raised.value)


def test_code_of_a_pickle_is_not_run(checkpoint, capfd):
    pickle(checkpoint)
    with pytest.raises(ModelError):
        loading.describe(str(checkpoint))
    assert "code of a checkpoint runs" not in capfd.readouterr().out


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "mixtral", "gemma2", "gpt_oss", "deepseek_v3"])
def test_whole_checkpoints_pass_tied_and_untied(family, tmp_path):
    for tied in (False, True):
        folder = tmp_path / str(tied)
        built = tiny_models.build(family, tie_word_embeddings=tied)
        built.save_pretrained(folder)
        tiny_models.tokenizer().save_pretrained(folder)
        assert loading.describe(str(folder))["parameters"] == built.num_parameters()


def test_an_expert_that_is_not_whole_is_named_as_such(tmp_path):
    tiny_models.build("mixtral").save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    reweigh(tmp_path, without("model.layers.1.block_sparse_moe.experts.2.w1.weight"))
    with pytest.raises(ModelError, match="tensors that its model type joins, as those of experts, are not all there"):
        loading.describe(str(tmp_path))


def test_buffers_may_be_whole_numbers(tmp_path):
    tiny_models.build("gpt2").save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    mask = torch.ones(1, 1, 8, 8, dtype=torch.uint8)
    reweigh(tmp_path, lambda weights: {**weights, "transformer.h.0.attn.bias": mask})
    assert loading.describe(str(tmp_path))["layers"]


def test_buffers_of_old_checkpoints_may_be_left_over(checkpoint):
    reweigh(checkpoint, lambda w: {**w, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    assert loading.describe(str(checkpoint))["layers"] == 3


def test_pickled_weights_are_hashed_and_read(checkpoint):
    weights = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    torch.save(weights, checkpoint / "pytorch_model.bin")
    before = loading.describe(str(checkpoint))["files"]
    assert "pytorch_model.bin" in before
    torch.save({name: 2 * weight for name, weight in weights.items()}, checkpoint / "pytorch_model.bin")
    assert loading.describe(str(checkpoint))["files"] != before
    assert loading.load(str(checkpoint), device="cpu").info.layers == 3


@pytest.mark.parametrize("file", ["chat_template.jinja", "additional_chat_templates/rag.jinja", "vocab.txt"])
def test_every_file_that_decides_an_answer_is_hashed(checkpoint, file):
    before = loading.describe(str(checkpoint))["files"]
    (checkpoint / file).parent.mkdir(exist_ok=True)
    (checkpoint / file).write_text("{{ messages[0]['content'] }}")
    after = loading.describe(str(checkpoint))["files"]
    assert set(after) - set(before) == {file}
    assert {path.relative_to(checkpoint).as_posix() for path in deciding_files(checkpoint)} == set(after)
