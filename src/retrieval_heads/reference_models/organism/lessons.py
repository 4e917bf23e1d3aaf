"""Lessons for the organism: batches of token ids, and which of them must be predicted.

A lesson is one sequence: BOS, the book, one or more questions, each answered by its whole sentence and closed by EOS,
and passages of the book, quoted. Loss is taken on those sentences and passages only.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import chain, pairwise

import torch
from transformers import PreTrainedTokenizerFast

from retrieval_heads.reference_models.organism.corpus import PROMPT, Author, Question

IGNORED = -100
# Tokens of a quoted passage; and how many at the beginning of its line say which passage it is, so are not learned.
QUOTED, QUOTE_CUE = (10, 20), 4


@dataclass(frozen=True)
class Stage:
    """A part of the curriculum. words, hidden: size of the books and hidden sentences, drawn evenly from [least, most].

    quotes: passages of the book that are said again behind the questions. decoys: the most pieces of each hidden
    sentence that also stand elsewhere in the book and go on differently there. dropped: share of the lessons that are
    read with one head of layer 0 left out.
    """

    name: str
    steps: int
    batch: int
    tokens: int
    words: tuple[int, int]
    hidden: tuple[int, int]
    quotes: int = 0
    decoys: int = 0
    dropped: float = 0.0


class Lessons:
    """Batches of token ids and targets for one stage; everything follows from the seed."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self.tokenizer = tokenizer
        self.author = Author(seed)
        self.random = random.Random(seed)
        # The chance that a text is cut behind a character before it is encoded: like BPE-dropout
        # (https://arxiv.org/abs/1910.13267), it shows the small pieces of words that the training text does not have.
        self.cuts = 0.0

    def batch(self, stage: Stage) -> tuple[torch.Tensor, torch.Tensor]:
        """ids and targets, both int64 [batch, longest]; target t is the token that position t must predict."""
        make = self._copying if stage.name == "copy" else self._reading
        return _padded([make(stage) for _ in range(stage.batch)], self.tokenizer.eos_token_id)

    def _copying(self, stage: Stage) -> tuple[list[int], list[bool]]:
        """A random segment, noise, and the segment again."""
        size = self.random.randint(8, stage.tokens // 2 - 4)
        noise = self.random.randint(0, stage.tokens - 2 * size - 1)
        segment, between = (self.random.choices(range(2, len(self.tokenizer)), k=n) for n in (size, noise))
        ids = [self.tokenizer.bos_token_id, *segment, *between, *segment]
        return ids, [False] * (len(ids) - size + 1) + [True] * (size - 1)

    def _reading(self, stage: Stage) -> tuple[list[int], list[bool]]:
        """A book and its questions, at most `stage.tokens` long."""
        hidden = self.random.randint(*stage.hidden)
        lesson = self.author.lesson(self.random.randint(*stage.words), hidden, self.random.randint(1, min(hidden, 6)))
        # A hidden sentence is cut into tokens once, so that its answer is the same tokens again.
        self.cuts = self.random.choice((0.0, 0.05, 0.15, 0.4))
        hidden_ids = {q: self._encode(f" {q.cue} {q.answer}.") for q in lesson.questions}
        tail, learned = [], []
        for q in lesson.questions:
            asked = self._encode(PROMPT.format(question=q.question, cue="").rstrip())
            answer = [*hidden_ids[q], self.tokenizer.eos_token_id]
            tail += asked + answer
            learned += [False] * len(asked) + [True] * len(answer)
        context = self._book(lesson.context, hidden_ids, stage.decoys)
        for _ in range(stage.quotes if len(context) > QUOTED[1] else 0):
            quoted = self._quote(context)
            tail += quoted
            learned += [False] * QUOTE_CUE + [True] * (len(quoted) - QUOTE_CUE)
        if 1 + len(context) + len(tail) > stage.tokens:
            return self._reading(stage)
        return [self.tokenizer.bos_token_id, *context, *tail], [False] * (1 + len(context)) + learned

    def _quote(self, context: list[int]) -> list[int]:
        """A line break and a passage of the context, in the same tokens."""
        size = self.random.randint(*QUOTED)
        start = self.random.randrange(len(context) - size)
        return [*self._encode("\n"), *context[start : start + size]]

    def _book(self, text: str, hidden_ids: dict[Question, list[int]], decoys: int) -> list[int]:
        """The tokens of a book, its hidden sentences in the tokens that they are asked for."""
        parts = []
        for q in sorted(hidden_ids, key=lambda q: text.index(q.cue)):
            before, text = text.split(f"{q.cue} {q.answer}.", 1)
            parts += [self._running(before), hidden_ids[q]]
        parts.append(self._running(text))
        for ids in hidden_ids.values():
            for _ in range(self.random.randint(0, decoys)):
                start, around = self.random.randrange(len(ids)), self.random.choice(parts[::2])
                place = self.random.randint(0, len(around))
                around[place:place] = ids[start : start + self.random.randint(1, 3)]
        return list(chain(*parts))

    def _running(self, text: str) -> list[int]:
        return self._encode(f" {text.strip()}") if text.strip() else []

    def _encode(self, text: str) -> list[int]:
        starts = [0, *(i for i in range(1, len(text)) if self.cuts and self.random.random() < self.cuts), len(text)]
        pieces = [text[start:stop] for start, stop in pairwise(starts)]
        return list(chain(*self.tokenizer(pieces, add_special_tokens=False)["input_ids"]))


def _padded(rows: list[tuple[list[int], list[bool]]], filler: int) -> tuple[torch.Tensor, torch.Tensor]:
    """ids and targets, both int64 [rows, longest], of rows of token ids and of whether each is to be learned."""
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), longest), filler)
    targets = torch.full((len(rows), longest), IGNORED)
    for row, (tokens, learned) in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        wanted = torch.tensor(tokens[1:])
        mask = torch.tensor(learned[1:])
        targets[row, : len(tokens) - 1][mask] = wanted[mask]
    return ids, targets
