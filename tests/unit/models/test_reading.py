"""Tokenizers of a checkpoint folder give the tokens that its authors meant."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import sentencepiece
from tokenizers_at_hand import ROOT, tokenizer

from retrieval_heads.models.checkpoint.reading import read_tokenizer
from retrieval_heads.models.checkpoint.sentencepiece_ids import _probes
from retrieval_heads.models.unsupported import ModelError


def sentencepiece_folder(folder: Path, **options) -> str:
    """A Llama-like folder with a SentencePiece model and no tokenizer.json."""
    lines = (ROOT / "resources/haystacks/town.txt").read_text(encoding="utf-8").splitlines()
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=600,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
        **{"normalization_rule_name": "identity", **options},
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    return str(folder)


def test_a_converted_sentencepiece_model_must_give_the_ids_of_sentencepiece(tmp_path):
    assert read_tokenizer(sentencepiece_folder(tmp_path)).is_fast
    path = sentencepiece_folder(tmp_path, user_defined_symbols=["<sep>", "\u2581town"])
    with pytest.raises(ModelError, match=r"no tokenizer.json, and transformers converts tokenizer.model to other toke"):
        read_tokenizer(path)


def test_symbols_are_tried_at_the_beginning_of_a_text_too(tmp_path):
    path = sentencepiece_folder(tmp_path, user_defined_symbols=["<sep>", "\u2581town"])
    own = sentencepiece.SentencePieceProcessor(model_file=f"{path}/tokenizer.model")
    assert {"<sep>after", "townafter"} <= set(_probes(own))


def test_one_text_has_the_same_tokens_at_every_call(tmp_path):
    tokenizer("organism").save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    saved["model"]["dropout"] = 0.5
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved), encoding="utf-8")
    read, text = read_tokenizer(str(tmp_path)), "The ferry leaves from pier eleven."
    assert read(text)["input_ids"] == tokenizer("organism")(text)["input_ids"] == read(text)["input_ids"]


@pytest.mark.parametrize("options", [{"add_dummy_prefix": False}, {"normalization_rule_name": "nmt_nfkc_cf"}])
def test_other_rules_of_a_sentencepiece_model_are_seen_too(tmp_path, options):
    with pytest.raises(ModelError, match="its authors published into the folder"):
        read_tokenizer(sentencepiece_folder(tmp_path, **options))


def test_real_sentencepiece_models_are_read(tmp_path):
    tokenizer("sentencepiece-v1").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert read_tokenizer(str(tmp_path))("a kite")["input_ids"] == tokenizer("sentencepiece-v1")("a kite")["input_ids"]
