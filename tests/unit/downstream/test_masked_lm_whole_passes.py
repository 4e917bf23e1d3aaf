"""Rows of a batch have the rotary frequencies of their own lengths, each response token those of all in front of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import rotary_models
import torch
from masked_responses import generated
from rotary_models import WINDOW
from tiny_families import END
from tiny_models import tokenizer
from tokenizers import Regex, pre_tokenizers

from retrieval_heads.downstream.lm.masked import MaskedLM
from retrieval_heads.masking.masks import HeadMask

NEW = 4
HEADS = ((0, 1), (1, 2), (2, 0))
MASKS = {"unmasked": HeadMask(()), "decode": HeadMask(HEADS), "all": HeadMask(HEADS, scope="all")}
# A short and a long row in one batch, one whose response crosses the window, one at its border.
LENGTHS = (30, 100, WINDOW - 2, WINDOW + 1, 110)
by_length = pytest.mark.parametrize("name", [*rotary_models.BY_LENGTH, "llama yarn"])


def model(name: str) -> MaskedLM:
    words = tokenizer()
    words.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(" w[0-9]+"), "isolated")
    return MaskedLM(replace(rotary_models.loaded(name), tokenizer=words))


def rows(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(2, 90, (length,), generator=generator).tolist() for length in lengths]


def text(tokens: list[int]) -> str:
    return "".join(f" w{token}" for token in tokens)


def greedy(name: str, prompt: list[int], mask: HeadMask) -> list[int]:
    """A newline ends nothing here."""
    emitted: list[int] = []
    while len(emitted) < NEW and END not in emitted:
        start = 0 if mask.scope == "all" else len(prompt) - 1
        emitted.append(int(rotary_models.whole_pass(name, [*prompt, *emitted], mask.heads, start)[0][-1].argmax()))
    return emitted


@by_length
def test_responses_of_a_batch_are_those_of_whole_passes(name):
    lm, prompts = model(name), rows(*LENGTHS)
    found = generated(lm, [text(prompt) for prompt in prompts], MASKS, until=[], max_new_tokens=NEW)
    for set_name, mask in MASKS.items():
        for prompt, response in zip(prompts, found[set_name], strict=True):
            want = greedy(name, prompt, mask)
            stop = want.index(END) if END in want else len(want)
            # The first token of the vocabulary begins sequences and has no text.
            assert lm.lm.tok_encode(response.text) == [t for t in want[:stop] if t], (set_name, len(prompt))
            assert (response.tokens, response.cut) == (stop, END not in want)


@by_length
def test_a_response_across_the_window_ends_at_its_stop_string(name):
    lm, [prompt] = model(name), rows(WINDOW - 1)
    want = greedy(name, prompt, HeadMask(()))
    [response] = generated(lm, [text(prompt)], {"unmasked": HeadMask(())}, until=[f" w{want[2]}"], max_new_tokens=NEW)[
        "unmasked"
    ]
    stop = want.index(want[2])
    assert (response.text, response.tokens, response.cut) == (text(want[:stop]), stop, False)


@by_length
def test_likelihoods_of_a_batch_are_those_of_whole_passes(name):
    lm = model(name)
    pairs = list(zip(rows(*LENGTHS), rows(1, 3, 5, 2, 4), strict=True))
    found = lm.loglikelihoods(pairs, MASKS)
    for set_name, mask in MASKS.items():
        for (prompt, following), (likely, _) in zip(pairs, found[set_name], strict=True):
            start = 0 if mask.scope == "all" else len(prompt) - 1
            logits, _ = rotary_models.whole_pass(name, [*prompt, *following[:-1]], mask.heads, start)
            want = logits[len(prompt) - 1 :].log_softmax(-1)[range(len(following)), following].sum()
            assert likely == pytest.approx(float(want), abs=1e-3), (set_name, len(prompt))
