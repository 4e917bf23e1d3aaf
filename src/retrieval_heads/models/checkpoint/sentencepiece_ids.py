"""A SentencePiece model that was converted on the way is compared with SentencePiece itself.

Without a tokenizer.json, transformers converts tokenizer.model at every load, and its converters do not carry over
everything that such a model can hold (user-defined symbols, normalisation rules).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from retrieval_heads.models.checkpoint.faults import fault

REMEDY = "put the tokenizer.json that its authors published into the folder"
# Prose in several scripts, digits, and marks that normalisers change. No runs of white space: there every converted
# BPE model differs from SentencePiece, also in the tokenizer.json that authors publish.
PROBES = (
    "The ferry leaves from pier 11, at 7.45 a.m.; “wait there”, she said - don't.",
    "Füße naïve café cafe\u0301 ﬁne № ½ ² Ａ１ …",
    "Паром отходит с причала. Το πλοίο φεύγει. הספינה יוצאת.",
    "تغادر العبارة. नौका जाती है। 渡船从码头出发。フェリーは出発する。",
    '🙂 👩‍🚀 <b>x</b> {"k": [1, 2]}\ndef f(x):\n return x**2',
)


def check_sentencepiece(path: str, tokenizer: Any) -> None:
    """Raise `ModelError` where a converted tokenizer gives other token ids than its tokenizer.model."""
    file = Path(path) / "tokenizer.model"
    if importlib.util.find_spec("sentencepiece") is None:
        raise fault(path, "its tokenizer.model cannot be checked without the package sentencepiece", REMEDY)
    from sentencepiece import SentencePieceProcessor

    try:
        own = SentencePieceProcessor(model_file=str(file))
    except Exception as error:
        raise fault(path, "its tokenizer.model is no SentencePiece model", REMEDY) from error
    for text in _probes(own):
        expected, found = own.encode(text), tokenizer(text, add_special_tokens=False)["input_ids"]
        if expected != found:
            raise fault(path, f"there is no tokenizer.json, and {_difference(text, expected, found)}", REMEDY)


def _difference(text: str, expected: list[int], found: list[int]) -> str:
    """Where two token sequences of a text part."""
    same = next((n for n, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), None)
    start = min(len(expected), len(found)) if same is None else same
    read = f"transformers converts tokenizer.model to other tokens than SentencePiece reads: {text!r}"
    return f"{read}, token {start}, is {found[start : start + 4]} in place of {expected[start : start + 4]}"


def _probes(own: Any) -> list[str]:
    """Texts of every kind, and each user-defined symbol of the model inside words and at the beginning.

    SentencePiece names such symbols nowhere but by their type: neither control, unknown, unused nor byte, and scored 0.
    """
    special = (own.is_control, own.is_unknown, own.is_unused, own.is_byte)
    symbols = [
        own.id_to_piece(token)
        for token in range(own.get_piece_size())
        if own.get_score(token) == 0 and not any(is_kind(token) for is_kind in special)
    ]
    spelt = [symbol.replace("\u2581", " ") for symbol in symbols]
    inside = (f"before{symbol}after, a {symbol.strip()} it" for symbol in spelt)
    return [*PROBES, *inside, *(f"{symbol.strip()}after" for symbol in spelt if symbol.strip())]
