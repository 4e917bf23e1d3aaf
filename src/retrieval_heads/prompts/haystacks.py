"""Haystacks: plain text files, tokenised once per tokenizer, with the token positions where a sentence ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import regex

from retrieval_heads.prompts.encoding.plain_text import SpecialTokenError, encode_markup, encode_plain

# A full stop, question or exclamation mark with its closing quotes or brackets, before white space or the end, or
# before a script that sets no spaces; or the marks that end a sentence in other scripts (Unicode's Sentence_Terminal),
# whatever follows.
CLOSING = r"[\"'”’)\]\p{Pi}\p{Pf}[\p{Pe}--[}]]]*+"
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Line_Break=Complex_Context}]"
SENTENCE_END = regex.compile(
    rf"(?V1)(?:[.!?．…]++{CLOSING}(?=\s|$|{UNSPACED})|[[\p{{Sentence_Terminal}}]--[.!?．]][\p{{Sentence_Terminal}}]*+{CLOSING})"
)

# Text that is put into the middle of a prompt is encoded behind an anchor, so that the tokenizer gives it the same
# leading space as any other word of a running text, whatever it does at the start of a string. Letters, because some
# tokenizers join punctuation with the newline behind it; several, because a vocabulary may join one with what follows.
ANCHORS = "aqxKZ"


class HaystackError(ValueError):
    """A haystack that cannot be used; the message names the file or key and the remedy."""


@dataclass(frozen=True)
class Haystack:
    """One text in the tokens of one model.

    ids: int32 `[tokens]`, without special tokens. sentence_ends: int32 `[sentences]`, growing; a value p says that
    the first p tokens end with a whole sentence. split_characters: int32, growing; the first p tokens end inside a
    character, as where a tokenizer spells it in bytes.
    """

    name: str
    ids: np.ndarray
    sentence_ends: np.ndarray
    split_characters: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))


def encode_inner(
    tokenizer, text: str, separator: str = " ", *, markup: bool = False, name: str = ""
) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids of a text that continues another one, and the characters `[start, end)` that each covers.

    No special tokens, but those that a rendered chat template spells (`markup`). The text is encoded behind one of
    `ANCHORS` and the separator, so the first token may begin at -1, the space. name: of the text, for errors. Raises
    `HaystackError` for a tokenizer without character offsets, and for a text that it reads as control tokens or joins
    to every anchor.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise HaystackError(f"{type(tokenizer).__name__} gives no character offsets; save a fast tokenizer.json")
    encode = partial(encode_markup if markup else encode_plain, tokenizer, return_offsets_mapping=True)
    without_space = None
    for anchor in ANCHORS:
        try:
            encoding = encode(anchor + separator + text)
        except SpecialTokenError as error:
            raise HaystackError(f"{name}, {error}") from None
        shift = len(anchor + separator)
        # A multi-byte character may be split over tokens that share its offsets: they all stay.
        pairs = [
            (token, (start - shift, end - shift))
            for token, (start, end) in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True)
            if end > len(anchor)
        ]
        own = [(token, span) for token, span in pairs if span[0] >= -len(separator)]
        if own == pairs:
            return [token for token, _ in own], [span for _, span in own]
        if all(end <= 0 for _, (start, end) in pairs if start < -len(separator)):
            without_space = without_space or own
    if without_space:
        # The vocabulary puts a space to the word in front of it.
        return [token for token, _ in without_space], [span for _, span in without_space]
    raise HaystackError(
        f"{name}, {text[:20]!r}: the tokenizer of '{tokenizer.name_or_path}' makes one token of its first word and the "
        "one in front of it; begin the text with another word or a line break, or choose another model"
    )


def covering(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """Tokens `[first, last)` that hold the characters `[start, end)`: which tokens are the answer, wherever it stands.

    offsets: the characters of each token, as `encode_inner` gives them. A token that holds a part of a character, or
    white space in front of the first word beside it, counts.
    """
    inside = [token for token, (first, last) in enumerate(offsets) if last > start and first < end]
    return inside[0], inside[-1] + 1


def tokenize(name: str, text: str, tokenizer) -> Haystack:
    """Tokenise one haystack and find its sentence ends from the tokenizer's own offsets."""
    text = text.strip()
    ids, offsets = encode_inner(tokenizer, text, name=f"haystack '{name}'")
    ends = np.array([end for _, end in offsets])
    sentence_ends = []
    for match in SENTENCE_END.finditer(text):
        token = int(np.searchsorted(ends, match.end()))
        # A token may hold the full stop and the white space behind it, never the next word.
        if token < len(ends) and not text[match.end() : ends[token]].strip():
            # The full stop itself may be spelt in several tokens.
            sentence_ends.append(int(np.searchsorted(ends, ends[token], side="right")))
    starts = np.array([start for start, _ in offsets])
    split = 1 + np.flatnonzero(ends[:-1] > starts[1:])
    whole = np.setdiff1d(np.array(sentence_ends, dtype=np.int32), split)
    return Haystack(name, np.array(ids, dtype=np.int32), whole, split.astype(np.int32))


def repeated(haystack: Haystack, tokens: int) -> Haystack:
    """The same haystack, said again until it holds at least `tokens` tokens (config `haystacks.repeat`)."""
    times = -(-tokens // len(haystack.ids))
    shifts = np.arange(times, dtype=np.int32)[:, None] * len(haystack.ids)
    ends, split = (
        (places[None, :] + shifts).ravel().astype(np.int32)
        for places in (haystack.sentence_ends, haystack.split_characters)
    )
    return Haystack(haystack.name, np.tile(haystack.ids, times), ends, split)


ARRAYS = ("ids", "sentence_ends", "split_characters")


def save(path: Path, haystacks: Mapping[str, Haystack]) -> None:
    """Write haystacks as one .npz file."""
    arrays = {f"{name}/{part}": getattr(one, part) for name, one in haystacks.items() for part in ARRAYS}
    np.savez_compressed(path, **arrays)


def load(path: Path) -> dict[str, Haystack]:
    """Read what `save` wrote."""
    with np.load(path) as arrays:
        names = [key.removesuffix("/ids") for key in arrays.files if key.endswith("/ids")]
        return {name: Haystack(name, *(arrays[f"{name}/{part}"] for part in ARRAYS)) for name in names}
