"""Real tokenizers for the tests: SentencePiece (v1, v3) and Tekken from mistral-common, and the project's own."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

from retrieval_heads.reference_models.phantom.tokenizer import build_tokenizer

ROOT = Path(__file__).parents[2]
SENTENCEPIECE = {
    "sentencepiece-v1": "tokenizer.model.v1",
    "sentencepiece-v3": "mistral_instruct_tokenizer_240323.model.v3",
}
NAMES = [*SENTENCEPIECE, "tekken", "organism", "phantom"]


@cache
def tokenizer(name: str):
    """A tokenizer by name."""
    data = files("mistral_common") / "data"
    if name == "organism":
        return AutoTokenizer.from_pretrained(ROOT / "resources/models/organism")
    if name == "phantom":
        texts = [path.read_text(encoding="utf-8") for path in (ROOT / "resources/haystacks").glob("*.txt")]
        return build_tokenizer([*texts, (ROOT / "resources/needles.tsv").read_text(encoding="utf-8"), TEMPLATE])
    if name == "tekken":
        return tekken(json.loads((data / "tekken_240911.json").read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(str(data / SENTENCEPIECE[name]), f"{folder}/tokenizer.model")
        Path(folder, "config.json").write_text(json.dumps({"model_type": "llama"}))
        settings = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}
        Path(folder, "tokenizer_config.json").write_text(json.dumps(settings))
        return AutoTokenizer.from_pretrained(folder)


def tekken(data: dict) -> PreTrainedTokenizerFast:
    """Tekken's byte-level BPE out of its JSON file, with its special tokens behind the vocabulary."""
    size = data["config"]["default_vocab_size"] - data["config"]["default_num_special_tokens"]
    with tempfile.NamedTemporaryFile("w", suffix=".tiktoken") as ranks:
        ranks.writelines(f"{token['token_bytes']} {token['rank']}\n" for token in data["vocab"][:size])
        ranks.flush()
        converter = TikTokenConverter(ranks.name, data["config"]["pattern"], extra_special_tokens=["<s>", "</s>"])
        backend = converter.converted()
    backend.post_processor = TemplateProcessing(single="<s> $0", special_tokens=[("<s>", backend.token_to_id("<s>"))])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


TEMPLATE = "{context}\nBased on the content of the book, Question: {question}\nAnswer:{cue}"
