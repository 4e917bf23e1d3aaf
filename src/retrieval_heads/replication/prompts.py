"""Quirks of the released code that change what a model reads (insert_needle, encode_and_trim, read_context_files)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from retrieval_heads.prompts import haystacks as texts
from retrieval_heads.prompts import placement
from retrieval_heads.prompts.cells import Prompt
from retrieval_heads.prompts.encoding.opening import opening_tokens
from retrieval_heads.prompts.haystacks import Haystack
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.prompts.placement import Grid, Pieces, cut_pieces

# Llama's tokens of a full stop, which stand for a sentence end unless another `--model_provider` is named.
PERIOD_TOKENS = (29889, 869)


@dataclass(frozen=True)
class Prompts:
    """Replaces the functions of the same names in `haystacks`, `pieces` and `placement`. names: quirks, possibly none.

    json_haystack: the text is a JSON string as it lies in its file, line ends escaped, and is cut inside it.
    fixed_sentence_ends: a sentence ends at two token ids of Llama, whatever the tokenizer; where the text holds
    neither, the needle goes to the start of the context at every depth but 100.
    bos_literal: context and needle are encoded with special tokens and decoded again, so that what the tokenizer puts
    in front of a text stands in front of the needle too, and three times at the start of the prompt.
    zero_length: the lengths begin at 0 (`-s 0`): in place of the shortest, cells of the bare needle without a haystack.
    """

    names: tuple[str, ...]

    def tokenize(self, name: str, text: str, tokenizer) -> Haystack:
        """`haystacks.tokenize`."""
        if "json_haystack" in self.names:
            text = json.dumps({"text": text})
        found = texts.tokenize(name, text, tokenizer)
        if "fixed_sentence_ends" in self.names:
            found = replace(found, sentence_ends=np.flatnonzero(np.isin(found.ids, PERIOD_TOKENS)).astype(np.int32) + 1)
        return found

    def cut_pieces(self, needle: Needle, tokenizer, template: str, chat: bool, **options) -> Pieces:
        """`pieces.cut_pieces`."""
        pieces = cut_pieces(needle, tokenizer, template, chat, **options)
        if "bos_literal" not in self.names:
            return pieces
        added = opening_tokens(tokenizer)
        return replace(
            pieces,
            head=pieces.head + 2 * added,
            needle=added + pieces.needle,
            answer=(pieces.answer[0] + len(added), pieces.answer[1] + len(added)),
        )

    def place_grid(self, name: str, haystack: Haystack, pieces: Pieces, grid: Grid) -> Iterator[Prompt]:
        """`placement.place_grid`."""
        if "zero_length" in self.names:
            bare = len(pieces.head) + len(pieces.needle)
            yield from (placement.place(name, haystack, pieces, 0, depth, bare) for depth in grid.depths)
            grid = replace(grid, lengths=tuple(sorted(grid.lengths)[1:]))
        yield from placement.place_grid(name, haystack, pieces, grid)
