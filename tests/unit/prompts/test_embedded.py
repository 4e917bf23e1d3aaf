"""Tokens beyond a model's embeddings are refused when prompts are made, not when the model reads them."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
import tiny_models
from place_needles import place_needles
from tokenizers_at_hand import ROOT, TEMPLATE, tokenizer

from retrieval_heads.downstream.lm.masked import MaskedLM
from retrieval_heads.models.checkpoint.reading import embedding_rows
from retrieval_heads.models.unsupported import ModelError
from retrieval_heads.prompts.haystacks import save, tokenize

MESSAGE = "its tokenizer writes '<far>' as token {0} into a prompt, and the model has embeddings of {0} tokens; put"


@pytest.fixture
def checkpoint(tmp_path):
    """The configuration of a model whose embeddings end with its tokenizer."""
    folder = tmp_path / "model"
    config = json.loads((ROOT / "resources/models/organism/config.json").read_text(encoding="utf-8"))
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": len(tokenizer("organism"))}))
    return folder


def place(folder, checkpoint, bos: dict[str, str]) -> None:
    """Place one needle, which opens with the BOS token."""
    reader = copy.deepcopy(tokenizer("organism"))
    reader.add_special_tokens(bos)
    reader.save_pretrained(checkpoint)
    save(folder / "book.npz", {"book": tokenize("book", "The boat is slow. " * 200, reader)})
    (folder / "needles.tsv").write_text(
        "needle\ttext\tquestion\tanswer\tcue\nn\tThe best thing is a red kite.\tWhat is best?\ta red kite\t\n"
    )
    (folder / "model.json").write_text(json.dumps({"window": None}))
    grid = {"lengths": [300], "depths": [50], "reserve_tokens": 100, "max_new_tokens": 4, "repeat_haystack": True}
    settings = {**grid, "needles": ["n"], "template": TEMPLATE, "chat": False, "rendering": {"opening": "bos"}}
    outputs = {"placement": folder / "placement.tsv", "pieces": folder / "pieces.json"}
    inputs = (str(folder / "book.npz"), [], str(folder / "needles.tsv"), str(folder / "model.json"))
    place_needles(*inputs, str(checkpoint), settings, [], outputs)


def test_needles_are_not_placed_behind_a_token_without_an_embedding(tmp_path, checkpoint):
    rows = embedding_rows(str(checkpoint))
    with pytest.raises(ModelError, match=MESSAGE.format(rows)):
        place(tmp_path, checkpoint, {"bos_token": "<far>"})
    place(tmp_path, checkpoint, {})
    assert (tmp_path / "placement.tsv").is_file()


def test_downstream_prompts_are_refused_alike():
    loaded = tiny_models.loaded("llama")
    rows = loaded.model.get_input_embeddings().weight.shape[0]
    far = tiny_models.tokenizer()
    far.add_special_tokens({"bos_token": "<far>"})
    lm = MaskedLM(replace(loaded, tokenizer=far), opening="bos")
    with pytest.raises(ModelError, match=MESSAGE.format(rows)):
        lm.lm.tok_encode(" w5 w6")
