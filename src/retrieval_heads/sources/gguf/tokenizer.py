"""The tokenizer of a GGUF file as llama.cpp has it: splits, opening token, chat template, tokens that end an answer.

transformers builds the vocabulary and the merges. Where it does not know how a vocabulary splits text it falls back on
GPT-2's way without a word, and it knows one end token only; both are mended here, or the file is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer, read_gguf_metadata
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from retrieval_heads.sources.gguf.header import GgufError

BYTE_LEVEL, SENTENCEPIECE = "gpt2", "llama"
# `tokenizer.ggml.pre` of vocabularies that split as GPT-2 does, the second kind behind a cut around every digit.
AS_GPT2 = ("gpt-2", "mpt", "olmo", "phi-2")
SINGLE_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
# Those whose words are looked up whole before any merge; they open with a first token unless the file says no.
WHOLE_WORDS = ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "tekken")
# Tokens that end a turn by their name, besides those that the file numbers (llama-vocab.cpp).
END_NAMES = frozenset(
    "<|eot_id|> <|im_end|> <|end|> <end_of_turn> <|endoftext|> <|end_of_text|> <|eom_id|> <EOT> _<EOT>".split()
) | {"<｜end▁of▁sentence｜>"}
END_NUMBERS = ("eos_token_id", "eot_token_id", "eom_token_id")


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF file says of its tokenizer. ends: ids of the tokens that end an answer. opens: whether BOS leads."""

    architecture: str
    parts: Mapping[str, Any]
    chat_template: str | None
    tokens: tuple[str, ...]
    ids: Mapping[str, int]
    opens: bool
    ends: tuple[int, ...]

    @property
    def bos_token_id(self) -> int | None:
        return self.ids.get("bos_token_id")

    @property
    def eos_token_id(self) -> int | None:
        return self.ids.get("eos_token_id")

    @property
    def pad_token_id(self) -> int | None:
        return self.ids.get("padding_token_id")

    def token(self, name: str) -> str | None:
        """The text of a numbered token, None where the file names none."""
        return self.tokens[self.ids[name]] if name in self.ids else None


def read_vocabulary(file: Path, key: str) -> Vocabulary:
    """The vocabulary of a file; raises `GgufError` for one that would be cut into other tokens than by llama.cpp."""
    architecture, parts, config = get_gguf_tokenizer(str(file))
    metadata, _ = read_gguf_metadata(str(file))
    kind, split = parts.get("tokenizer_type"), parts.get("pre_tokenizer_type")
    if kind not in (BYTE_LEVEL, SENTENCEPIECE):
        raise GgufError(f"{key}: '{file}' has a tokenizer of kind '{kind}'; read are {BYTE_LEVEL} and {SENTENCEPIECE}")
    if kind == BYTE_LEVEL and split not in {*GGUF_PRE_TOKENIZER_SPLITS, *AS_GPT2, *SINGLE_DIGITS}:
        raise GgufError(
            f"{key}: how '{file}' splits text (tokenizer.ggml.pre = {split}) is not known; take the model's own "
            "checkpoint, or a file that names it"
        )
    if kind == SENTENCEPIECE and parts.get("add_prefix_space") is False and not architecture.startswith("gemma"):
        raise GgufError(f"{key}: '{file}' puts no space in front of a text, which is not read for '{architecture}'")
    prefix = "tokenizer.ggml."
    ids = {name.removeprefix(prefix): value for name, value in metadata.items() if name.endswith("_token_id")}
    named = [number for number, token in enumerate(parts["tokens"]) if token in END_NAMES]
    ends = [ids[name] for name in END_NUMBERS if name in ids]
    opens = config.get("add_bos_token", kind == SENTENCEPIECE or split in WHOLE_WORDS)
    if config.get("add_eos_token"):
        raise GgufError(f"{key}: '{file}' ends every prompt with its end token, so no answer can follow")
    return Vocabulary(
        architecture,
        parts,
        config.get("chat_template"),
        tuple(parts["tokens"]),
        ids,
        bool(opens),
        tuple(dict.fromkeys([*ends, *named])),
    )


def build_tokenizer(vocabulary: Vocabulary) -> PreTrainedTokenizerFast:
    """The tokenizer, which saves and loads as any other."""
    backend, _ = convert_gguf_tokenizer(vocabulary.architecture, dict(vocabulary.parts))
    split = vocabulary.parts.get("pre_tokenizer_type")
    if split in SINGLE_DIGITS:
        digits, rest = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, rest])
    if split in WHOLE_WORDS:
        content = json.loads(backend.to_str())
        content["model"]["ignore_merges"] = True
        backend = Tokenizer.from_str(json.dumps(content))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=vocabulary.token("bos_token_id"),
        eos_token=vocabulary.token("eos_token_id"),
        unk_token=vocabulary.token("unknown_token_id"),
        pad_token=vocabulary.token("padding_token_id"),
        add_bos_token=vocabulary.opens,
        add_eos_token=False,
        chat_template=vocabulary.chat_template,
        clean_up_tokenization_spaces=False,
    )
