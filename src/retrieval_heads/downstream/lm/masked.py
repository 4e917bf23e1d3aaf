"""A batch of prompts answered under many head sets, through the harness's own interface to models.

Under mask scope `decode` heads are masked from the last prompt token on, so that what stands before it is computed once
for all head sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from lm_eval.models.utils import postprocess_generated_text

from retrieval_heads.downstream.lm.opened import OpenedLM
from retrieval_heads.downstream.lm.padded_batches import PaddedBatches, tokens_before_end
from retrieval_heads.downstream.lm.side_by_side import SideBySide
from retrieval_heads.engine.decoding import StopRule
from retrieval_heads.masking.masks import Masks, Means
from retrieval_heads.models.loading import Loaded
from retrieval_heads.prompts.encoding.opening import AUTO


class PromptError(ValueError):
    """A prompt that cannot be asked; the message names the lengths and the remedy."""


@dataclass(frozen=True)
class Response:
    """What a model said: text up to its end, a stop string or the limit; its tokens; cut: stopped by the limit."""

    text: str
    tokens: int
    cut: bool


class MaskedLM:
    """A loaded model behind the harness's `HFLM`. Masks: name of the head set -> mask; no heads is the unmasked run.

    chat, opening: see `OpenedLM`.
    """

    def __init__(self, loaded: Loaded, means: Means = None, *, chat: bool = False, opening: str = AUTO):
        self.loaded = loaded
        self.lm = OpenedLM(loaded, chat=chat, wish=opening)
        named = self.lm.tokenizer.eos_token_id
        self.ends = StopRule(loaded).ends | ({named} - {None})
        self.side_by_side = SideBySide(loaded, self.lm, self.ends, means)
        self.padded = PaddedBatches(loaded, self.lm, self.ends, means)

    @property
    def tokens(self) -> int:
        """Tokens that went through the model, padding left out."""
        return self.side_by_side.tokens + self.padded.tokens

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[str], masks: Masks, *, until: Sequence[str], max_new_tokens: int, batch: int
    ) -> Iterator[tuple[int, dict[str, Response]]]:
        """Yield every prompt as it is done: its place among the prompts, and its greedy response under each head set.

        batch: prompts that are answered at a time.
        """
        ids = [self.lm.tok_encode(prompt) for prompt in prompts]
        self._check_window(max(map(len, ids)), max_new_tokens)
        for way, places in self._ways(ids, max_new_tokens):
            answers = way.answer([ids[place] for place in places], masks, until, max_new_tokens, batch)
            for place, found in answers:
                yield places[place], {name: self._read(row, until, max_new_tokens) for name, row in found.items()}

    def _ways(self, ids: Sequence[Sequence[int]], new: int) -> Iterator[tuple[SideBySide | PaddedBatches, list[int]]]:
        """How prompts are answered that get `new` tokens, and their places."""
        ways: dict[object, list[int]] = {}
        for place, row in enumerate(ids):
            reached = (len(row) - 1, len(row) + new)
            frequencies = self.loaded.info.rotary.choice(len(row))
            ways.setdefault(frequencies if self.side_by_side.serves(row, reached) else None, []).append(place)
        return ((self.padded if key is None else self.side_by_side, places) for key, places in ways.items())

    def _read(self, row: list[int], until: Sequence[str], max_new_tokens: int) -> Response:
        emitted = tokens_before_end(row, self.ends)
        whole = self.lm.tok_decode(row[:emitted])
        text = postprocess_generated_text(whole, list(until), None)
        if text != whole:
            return Response(text, len(self.lm.tokenizer(text, add_special_tokens=False)["input_ids"]), False)
        return Response(text, emitted, emitted == max_new_tokens)

    def encode(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Token ids of a prompt and of what is to follow it, cut as the harness cuts them."""
        if context:
            return self.lm._encode_pair(context, continuation)
        prefix = self.lm.prefix()
        if not prefix:
            raise PromptError(
                f"the tokenizer of '{self.lm.tokenizer.name_or_path}' has no token to put in front of a text that is "
                "weighed without a prompt; take such tasks out of downstream.tasks"
            )
        return prefix, self.lm.tok_encode(continuation, add_special_tokens=False)

    @torch.inference_mode()
    def loglikelihoods(
        self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], masks: Masks
    ) -> dict[str, list[tuple[float, bool]]]:
        """Of every head set: log-likelihood (nats) of each continuation after its context, and whether it is greedy."""
        reached = [len(context) + over for context, continuation in pairs for over in (-1, len(continuation) - 1)]
        self._check_window(max(reached) + 1, 0)
        served = all(self.side_by_side.serves(context, reached) for context, _ in pairs)
        return (self.side_by_side if served else self.padded).weigh(pairs, masks)

    def _check_window(self, prompt: int, new: int) -> None:
        window = self.loaded.info.window or self.lm.max_length
        if prompt + new > window:
            raise PromptError(
                f"a prompt of {prompt} tokens and {new} new ones are beyond the window of {window}; "
                "lower downstream.longest (characters of an item) or downstream.max_new_tokens"
            )
