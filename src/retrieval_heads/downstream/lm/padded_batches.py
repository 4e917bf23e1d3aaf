"""Prompts of any model as padded batches, one head set after the other.

For models whose rows cannot be continued side by side: sliding windows, recurrent layers, rotary frequencies that
depend on the length (models/rotary.py). There each row has the frequencies of its own length: responses during which
they change are made one by one, by whole passes, and a continuation is scored in the pass over all of its row. The
harness's own batches cannot be used as they are for log-likelihoods: they hold prompt and continuation in one block,
padded on the right, where no hook can tell the last prompt token.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence

import torch

from retrieval_heads.downstream.lm.opened import OpenedLM
from retrieval_heads.masking.masks import HeadMask, Masks, Means, masked_throughout
from retrieval_heads.models.loading import Loaded

# Tokens of prompts that are in one batch, padding counted: each has a cache of its own.
TOGETHER = 16384


def batches(lengths: Sequence[int], batch: int) -> Iterator[slice]:
    """Prompts that are asked at a time: at most `batch`, if they hold no more than `TOGETHER` tokens with padding.

    lengths: tokens of each prompt, the longest first.
    """
    start = 0
    while start < len(lengths):
        size = max(1, min(batch, TOGETHER // max(1, lengths[start])))
        yield slice(start, start + size)
        start += size


class PaddedBatches:
    """Answers of any model. ends: end tokens. tokens: those that went through the model so far, padding left out."""

    def __init__(self, loaded: Loaded, lm: OpenedLM, ends: Collection[int], means: Means):
        self.loaded, self.lm, self.ends, self.means = loaded, lm, ends, means
        self.tokens = 0

    def answer(
        self, prompts: Sequence[Sequence[int]], masks: Masks, until: Sequence[str], max_new_tokens: int, batch: int
    ) -> Iterator[tuple[int, dict[str, list[int]]]]:
        """Yield every prompt, long ones first: its place, and its emitted ids under each head set. batch: prompts."""
        longest_first = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
        for part in batches([len(prompts[place]) for place in longest_first], batch):
            found = self._answer_batch([prompts[place] for place in longest_first[part]], masks, until, max_new_tokens)
            for number, place in enumerate(longest_first[part]):
                yield place, {name: rows[number] for name, rows in found.items()}

    def _answer_batch(self, prompts, masks: Masks, until: Sequence[str], max_new_tokens: int) -> dict[str, list]:
        """Emitted ids of every head set and prompt."""
        ids, seen = self._padded(prompts, left=True)
        found: dict[str, list] = {name: [None] * len(prompts) for name in masks}
        for rows, settled in self._parts(seen.sum(1).tolist(), max_new_tokens):
            longest = int(seen[rows].sum(1).max())
            make = self._together if settled else self._by_whole_passes
            made = make(ids[rows, -longest:], seen[rows, -longest:], masks, until, max_new_tokens)
            for name, ids_of_rows in made.items():
                for row, emitted in zip(rows, ids_of_rows, strict=True):
                    found[name][row] = emitted
                self._count(seen[rows], masks[name], sum(tokens_before_end(row, self.ends) for row in ids_of_rows))
        return found

    def _parts(self, lengths: Sequence[int], max_new_tokens: int) -> list[tuple[list[int], bool]]:
        """Rows that may be answered together, and whether their frequencies stay the same; else each is alone."""
        rotary = self.loaded.info.rotary
        parts: dict[tuple, list[int]] = {}
        for row, length in enumerate(lengths):
            # With the token before: there the families themselves throw their cache away.
            settled = rotary.same_frequencies(length - 1, length + max_new_tokens)
            parts.setdefault((settled, rotary.choice(length) if settled else row), []).append(row)
        return [(rows, settled) for (settled, _), rows in parts.items()]

    def _together(
        self, ids, seen, masks: Masks, until: Sequence[str], max_new_tokens: int
    ) -> dict[str, list[list[int]]]:
        """Emitted ids of every head set and row."""
        with self.loaded.info.rotary.pinned((seen.sum(1) + max_new_tokens).tolist()):
            return self._decoded(ids, seen, masks, until, max_new_tokens)

    def _decoded(
        self, ids, seen, masks: Masks, until: Sequence[str], max_new_tokens: int
    ) -> dict[str, list[list[int]]]:
        shared = self._shared_prefill(ids, seen, masks)
        stops = [*until, *self.lm.end_text()]
        responses = {}
        for name, mask in masks.items():
            with masked_throughout(self.loaded, mask, self.means):
                cache = {"past_key_values": copy.deepcopy(shared)} if mask.shares_prefill and shared else {}
                rows = self.lm._model_generate(
                    ids, ids.shape[1] + max_new_tokens, stops, attention_mask=seen, repetition_penalty=1.0, **cache
                )
            responses[name] = rows[:, ids.shape[1] :].tolist()
        return responses

    def _count(self, seen: torch.Tensor, mask: HeadMask, following: int) -> None:
        """Add what went through the model under one head set: a shared prefill counts once."""
        alone = not mask.shares_prefill or not mask.heads
        self.tokens += following + (int(seen.sum()) if alone else 0)

    def _by_whole_passes(self, ids, seen, masks: Masks, until: Sequence[str], max_new_tokens: int):
        """As `_together`, for one row: each token from a pass over prompt and response so far."""
        found = {}
        for name, mask in masks.items():
            emitted: list[int] = []
            while len(emitted) < max_new_tokens and not self.ends.intersection(emitted[-1:]):
                if emitted and any(stop in self.lm.tok_decode(emitted) for stop in until):
                    break
                block = torch.cat([ids[:, -1:], ids.new_tensor(emitted)[None]], dim=1)
                with self.loaded.info.rotary.pinned([ids.shape[1] + len(emitted)]):
                    shared = self._shared_prefill(ids, seen, {name: mask})
                    logits = self._after(ids, seen, block, torch.ones_like(block), mask, shared)
                emitted.append(int(logits[0, -1].argmax()))
            found[name] = [emitted]
        return found

    def weigh(self, pairs, masks: Masks) -> dict[str, list[tuple[float, bool]]]:
        """Of every head set: log-likelihood of each continuation after its context, and whether it is greedy."""
        ids, seen = self._padded([context for context, _ in pairs], left=True)
        block, real = self._padded([[context[-1], *continuation[:-1]] for context, continuation in pairs], left=False)
        wanted, _ = self._padded([continuation for _, continuation in pairs], left=False)
        found = {}
        with self.loaded.info.rotary.pinned([len(context) + len(continuation) - 1 for context, continuation in pairs]):
            shared = self._shared_prefill(ids, seen, masks)
            for name, mask in masks.items():
                logits = self._after(ids, seen, block, real, mask, shared).float().log_softmax(-1)
                likely = logits.gather(2, wanted[..., None])[..., 0].where(real.bool(), 0.0).sum(1).tolist()
                greedy = ((logits.argmax(-1) == wanted) | ~real.bool()).all(1).tolist()
                found[name] = list(zip(likely, greedy, strict=True))
                self._count(seen, mask, int(real.sum()))
        return found

    def _after(self, ids, seen, block, real, mask: HeadMask, shared) -> torch.Tensor:
        """Logits [rows, tokens, vocabulary] of a block, last prompt token first, under a mask. `real`: not padding."""
        with masked_throughout(self.loaded, mask, self.means):
            cache = copy.deepcopy(shared) if mask.shares_prefill else self._prefill(ids, seen)
            return self._feed(block, real, seen[:, :-1], cache)

    def _feed(self, block: torch.Tensor, real: torch.Tensor, before: torch.Tensor, cache) -> torch.Tensor:
        """Logits [rows, tokens, vocabulary] of a block on top of a cache; some families take it token by token."""
        positions = before.sum(1, keepdim=True) + torch.arange(block.shape[1], device=block.device)
        seen = torch.cat([before, real], dim=1)
        step = block.shape[1] if cache is None or self.loaded.info.takes_blocks else 1
        logits = []
        for start in range(0, block.shape[1], step):
            part = slice(start, start + step)
            options = {"attention_mask": seen[:, : before.shape[1] + start + step], "position_ids": positions[:, part]}
            output = self.loaded.model(input_ids=block[:, part], past_key_values=cache, use_cache=True, **options)
            cache = output.past_key_values
            logits.append(output.logits)
        return torch.cat(logits, dim=1)

    def _padded(self, rows: Sequence[Sequence[int]], left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids [rows, longest] and which of them are real."""
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.lm.pad, device=self.lm.device)
        real = torch.zeros_like(ids)
        for row, tokens in enumerate(rows):
            place = slice(longest - len(tokens), None) if left else slice(len(tokens))
            ids[row, place], real[row, place] = torch.tensor(list(tokens), device=ids.device), 1
        return ids, real

    def _shared_prefill(self, ids: torch.Tensor, seen: torch.Tensor, masks: Masks):
        return self._prefill(ids, seen) if any(mask.shares_prefill for mask in masks.values()) else None

    def _prefill(self, ids: torch.Tensor, seen: torch.Tensor):
        """The cache of all prompt tokens but the last, None where there is but one."""
        if ids.shape[1] == 1:
            return None
        # One step of `generate`, so that positions and padding are the family's own business.
        options = {"max_new_tokens": 1, "do_sample": False, "return_dict_in_generate": True, "use_cache": True}
        output = self.loaded.model.generate(
            input_ids=ids[:, :-1], attention_mask=seen[:, :-1], pad_token_id=self.lm.pad, **options
        )
        return output.past_key_values


def tokens_before_end(row: Sequence[int], ends: Collection[int]) -> int:
    """Tokens in front of the end token."""
    return next((place for place, token in enumerate(row) if token in ends), len(row))
