"""Text is text: what spells a special token (`</s>`, `<|im_end|>`) in a haystack or a question is not one.

Special tokens are split by the tokenizer itself. Some vocabularies have no other way to read such a text, and tokens of
the chat template that are not declared special (`<think>`) cannot be split: those texts are refused, with the place.
"""

from __future__ import annotations

from typing import Any


class SpecialTokenError(ValueError):
    """A text that a tokenizer reads as a control token; the message names the token, the place and the remedy."""


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """Token id -> text of the tokens that steer a model: special ones, and added ones that its chat template writes."""
    template = tokenizer.chat_template
    written = template if isinstance(template, str) else " ".join((template or {}).values())
    return {
        token: added.content
        for token, added in tokenizer.added_tokens_decoder.items()
        if added.special or (added.content.strip() and added.content in written)
    }


def encode_plain(tokenizer: Any, text: str, **options) -> Any:
    """The encoding of a text without special tokens, neither added nor spelt; options: of the tokenizer's call.

    Raises `SpecialTokenError` where a part of the text still becomes a control token.
    """
    encoding = tokenizer(text, add_special_tokens=False, split_special_tokens=True, **options)
    controls = control_tokens(tokenizer)
    if not controls.keys() & set(encoding["input_ids"]):
        return encoding
    spans = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)[
        "offset_mapping"
    ]
    for token, (start, end) in zip(encoding["input_ids"], spans, strict=True):
        # The unknown token may be a special one: then it stands for another text.
        if token in controls and text[start:end].strip() == controls[token].strip():
            raise SpecialTokenError(_spelt(tokenizer, text, start, controls[token]))
    return encoding


def encode_markup(tokenizer: Any, text: str, **options) -> Any:
    """The encoding of a rendered chat, whose special tokens are meant; options: of the tokenizer's call."""
    # A folder's tokenizer_config.json may say that special tokens are split.
    return tokenizer(text, add_special_tokens=False, split_special_tokens=False, **options)


def refuse_control_tokens(tokenizer: Any, text: str) -> None:
    """Raise `SpecialTokenError` when a text for a chat's turn, which cannot be split, spells a control token."""
    for token in control_tokens(tokenizer).values():
        if token in text:
            raise SpecialTokenError(_spelt(tokenizer, text, text.index(token), token))


def _spelt(tokenizer: Any, text: str, place: int, token: str) -> str:
    line = text.count("\n", 0, place) + 1
    around = text[max(0, place - 20) : place + len(token) + 20]
    return (
        f"line {line}, {around!r}: the tokenizer of '{tokenizer.name_or_path}' reads {token!r} there as a control "
        "token in place of text; take it out of the text, or choose another model"
    )
