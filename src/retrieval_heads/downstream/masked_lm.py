"""A batch of prompts answered under many head sets, through the harness's own interface to models.

Under mask scope `decode` heads are masked from the last prompt token on, so that what stands before it is computed once
for all head sets. The harness's own batches cannot be used as they are for log-likelihoods: they hold prompt and
continuation in one block, padded on the right, where no hook can tell the last prompt token.

Where rotary frequencies depend on the length (models/rotary.py), each row has those of its own length: responses during
which they change are made one by one, by whole passes, and a continuation is scored in the pass over all of its row.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from lm_eval.models.utils import postprocess_generated_text
from transformers.cache_utils import Cache

from retrieval_heads.downstream.opened_lm import OpenedLM
from retrieval_heads.downstream.text_ends import TextEnds
from retrieval_heads.engine.batched_decoding import Rows
from retrieval_heads.engine.cached_attention import joins
from retrieval_heads.engine.decoding import StopRule
from retrieval_heads.engine.lookup import Passages
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.speculative import Start, greedy_rows
from retrieval_heads.masking.masks import HeadMask, masked, masked_tokens
from retrieval_heads.models.loading import Loaded
from retrieval_heads.prompts.opening import AUTO

Masks = Mapping[str, HeadMask]
Means = Mapping[int, torch.Tensor] | None
# Rows that run side by side for each prompt of a batch: head sets of the same prompt, and of others as rows end.
ROWS_EACH = 4
# Tokens of continuations that are fed at once: their logits are held in float32.
WEIGHED = 512


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
        self.means = means
        # Tokens that went through the model, padding left out.
        self.tokens = 0
        self.lm = OpenedLM(loaded, chat=chat, wish=opening)
        named = self.lm.tokenizer.eos_token_id
        self.ends = StopRule(loaded).ends | ({named} - {None})

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[str], masks: Masks, *, until: Sequence[str], max_new_tokens: int
    ) -> dict[str, list[Response]]:
        """Greedy responses of every head set, in the order of the prompts."""
        ids = [self.lm.tok_encode(prompt) for prompt in prompts]
        self._check_window(max(map(len, ids)), max_new_tokens)
        reached = [length for row in ids for length in (len(row) - 1, len(row) + max_new_tokens)]
        if self._runs_in_rows(ids, reached):
            found = self._in_rows(ids, masks, until, max_new_tokens)
        else:
            found = self._padded_together(ids, masks, until, max_new_tokens)
        return {name: [self._read(row, until, max_new_tokens) for row in found[name]] for name in masks}

    def _runs_in_rows(self, prompts: Sequence[Sequence[int]], reached: Sequence[int]) -> bool:
        """Whether prompts and head sets can be rows side by side. reached: lengths that sequences have meanwhile."""
        same = len({self.loaded.info.rotary.choice(length) for length in reached}) == 1
        return same and min(map(len, prompts)) > 1 and joins(self.loaded)

    def _in_rows(self, ids, masks: Masks, until: Sequence[str], max_new_tokens: int) -> dict[str, list[list[int]]]:
        """Emitted ids of every head set and prompt, all of them rows of one batch."""
        ends, found = TextEnds(self.lm, self.ends, until), {}
        options = {"size": ROWS_EACH * len(ids), "max_new_tokens": max_new_tokens}
        for names in _sharing(masks):
            caches = list(self._prefills(ids, masks[names[0]]))
            starts = [
                Start(cache, tuple(row[-1:]), passages, mask=number)
                for row, cache in zip(ids, caches, strict=True)
                for passages in [Passages(row)]
                for number in range(len(names))
            ]
            masking = masked_tokens(self.loaded, [masks[name] for name in names], self.means)
            rows = greedy_rows(self.loaded, starts, ends, masking=masking, **options)
            found |= {name: rows[number :: len(names)] for number, name in enumerate(names)}
            self.tokens += sum(map(len, rows)) + len(ids)
        return found

    def _prefills(self, ids: Sequence[Sequence[int]], mask: HeadMask) -> Iterator[Cache]:
        """The cache of all tokens but the last of each prompt; what a prompt shares with the one before is kept."""
        prefix = PrefixCache(self.loaded)
        for row in ids:
            with nullcontext() if _shares(mask) else self._under(mask):
                self.tokens += prefix.prefill(row[:-1], whole=len(row))
            yield prefix.kept()

    def _padded_together(self, prompts, masks: Masks, until: Sequence[str], max_new_tokens: int):
        """As `_in_rows` for any model: prompts are padded, and head sets answer one after the other."""
        ids, seen = self._padded(prompts, left=True)
        found: dict[str, list] = {name: [None] * len(prompts) for name in masks}
        for rows, settled in self._parts(seen.sum(1).tolist(), max_new_tokens):
            longest = int(seen[rows].sum(1).max())
            make = self._together if settled else self._by_whole_passes
            made = make(ids[rows, -longest:], seen[rows, -longest:], masks, until, max_new_tokens)
            for name, ids_of_rows in made.items():
                for row, emitted in zip(rows, ids_of_rows, strict=True):
                    found[name][row] = emitted
                self._count(seen[rows], masks[name], sum(self._length(row) for row in ids_of_rows))
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
            with self._under(mask):
                cache = {"past_key_values": copy.deepcopy(shared)} if _shares(mask) and shared else {}
                rows = self.lm._model_generate(
                    ids, ids.shape[1] + max_new_tokens, stops, attention_mask=seen, repetition_penalty=1.0, **cache
                )
            responses[name] = rows[:, ids.shape[1] :].tolist()
        return responses

    def _count(self, seen: torch.Tensor, mask: HeadMask, following: int) -> None:
        """Add what went through the model under one head set: a shared prefill counts once."""
        alone = not _shares(mask) or not mask.heads
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

    def _length(self, row: list[int]) -> int:
        """Tokens in front of the end token."""
        return next((place for place, token in enumerate(row) if token in self.ends), len(row))

    def _read(self, row: list[int], until: Sequence[str], max_new_tokens: int) -> Response:
        emitted = self._length(row)
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
        if self._runs_in_rows([context for context, _ in pairs], reached):
            return self._weighed_in_rows(pairs, masks)
        return self._weighed_together(pairs, masks)

    def _weighed_in_rows(self, pairs, masks: Masks) -> dict[str, list[tuple[float, bool]]]:
        """All continuations of one context under all head sets are rows of one batch."""
        found: dict[str, list[tuple[float, bool]]] = {name: [] for name in masks}
        contexts = [(context, [pair[1] for pair in own]) for context, own in groupby(pairs, key=lambda pair: pair[0])]
        for names in _sharing(masks):
            caches = self._prefills([context for context, _ in contexts], masks[names[0]])
            for (context, continuations), cache in zip(contexts, caches, strict=True):
                weighed = self._weighed_rows(cache, context[-1], continuations, [masks[name] for name in names])
                for number, name in enumerate(names):
                    found[name] += weighed[number :: len(names)]
        return found

    def _weighed_rows(self, cache: Cache, last: int, continuations, masks: Sequence[HeadMask]):
        """Log-likelihood of every continuation under each mask in turn, and if it is greedy; `last`: the context's.

        No more tokens are fed at once than `WEIGHED`, but for a row that has more.
        """
        asked, found = [(own, number) for own in continuations for number in range(len(masks))], []
        step = max(1, WEIGHED // max(map(len, continuations)))
        for part in (asked[start : start + step] for start in range(0, len(asked), step)):
            rows = Rows(self.loaded)
            rows.add(cache, len(part))
            with rows.attending(), masked_tokens(self.loaded, masks, self.means) as choose:
                choose([number for own, number in part for _ in own])
                logits = rows.feed([[last, *own[:-1]] for own, _ in part])
            wanted = torch.tensor([token for own, _ in part for token in own], device=logits.device)
            widths = [len(own) for own, _ in part]
            right = (logits.argmax(-1) == wanted).split(widths)
            likely = logits.float().log_softmax(-1).gather(1, wanted[:, None])[:, 0].split(widths)
            found += [(float(one.sum()), bool(all_right.all())) for one, all_right in zip(likely, right, strict=True)]
            self.tokens += len(wanted)
        return found

    def _weighed_together(self, pairs, masks: Masks) -> dict[str, list[tuple[float, bool]]]:
        """As `_weighed_in_rows` for any model: pairs are padded, and head sets come one after the other."""
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
        with self._under(mask):
            cache = copy.deepcopy(shared) if _shares(mask) else self._prefill(ids, seen)
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
        return self._prefill(ids, seen) if any(map(_shares, masks.values())) else None

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

    def _under(self, mask: HeadMask):
        # Every token that is fed inside is in scope, also where several pass at once.
        return masked(self.loaded, replace(mask, scope="all"), self.means)

    def _check_window(self, prompt: int, new: int) -> None:
        window = self.loaded.info.window or self.lm.max_length
        if prompt + new > window:
            raise PromptError(
                f"a prompt of {prompt} tokens and {new} new ones are beyond the window of {window}; "
                "lower downstream.longest (characters of an item) or downstream.max_new_tokens"
            )


def _shares(mask: HeadMask) -> bool:
    """Whether what stands before the last prompt token is the same as in the unmasked run."""
    return mask.scope == "decode" or not mask.heads


def _sharing(masks: Masks) -> list[list[str]]:
    """Names of head sets that share a prefill, the unmasked run among them, and alone of each that cannot."""
    shared = [name for name, mask in masks.items() if _shares(mask)]
    return [*([shared] if shared else []), *([name] for name in masks if name not in shared)]
