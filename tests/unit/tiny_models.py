"""Tiny random causal models from config objects, and prompts for them.

Weights are drawn wide (deviation 0.3), so that attention is sharp enough for argmax positions to be distinct.
"""

from __future__ import annotations

from functools import cache

import torch
from tiny_families import BASE, END, FAMILIES, NEWLINE, VOCABULARY
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from retrieval_heads.models import loading as models
from retrieval_heads.prompts.cells import Cell, Prompt


def config(family: str, **changes):
    """The configuration of a family's tiny model."""
    return AutoConfig.for_model(family, **{**BASE, **FAMILIES.get(family, {}), **changes})


def build(family: str, seed: int = 0, attention: str = "eager", **changes):
    """A random model of a family, float32, in evaluation mode."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config(family, **changes), attn_implementation=attention)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        # Some families start biases and sinks at zero, where an error in their handling would not show.
        if weight.ndim == 1 and ("bias" in name or "sinks" in name):
            weight.data = 0.3 * torch.randn(weight.shape, generator=generator)
    return model.float().eval()


def tokenizer() -> PreTrainedTokenizerFast:
    """Token i reads `w<i>` with a space in front; one token is a newline."""
    words = {f" w{i}": i for i in range(VOCABULARY)}
    words = {("\n" if i == NEWLINE else word): i for word, i in words.items()}
    inner = Tokenizer(WordLevel(words, unk_token=" w1"))
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=" w0", eos_token=f" w{END}")


@cache
def loaded(family: str, **changes) -> models.Loaded:
    """A tiny model behind the engine, on the attention that the engine chooses. Cached: do not change it."""
    attention = "eager" if family in ("gpt_oss", "gemma2") else "sdpa"
    return models.wrap(build(family, attention=attention, **changes), tokenizer())


def prompts(lengths: tuple[int, ...] = (48, 60), depths: tuple[int, ...] = (0, 50, 100)) -> list[Prompt]:
    """Needles of random tokens in a haystack of random tokens; the answer is the needle's last four."""
    generator = torch.Generator().manual_seed(0)
    straw, needle, tail = (torch.randint(2, 94, (n,), generator=generator).tolist() for n in (200, 6, 7))
    made = []
    for length in lengths:
        room = length - 1 - len(needle) - len(tail)
        for depth in depths:
            point = room * depth // 100
            ids = [0, *straw[:point], *needle, *straw[point:room], *tail]
            start = 1 + point
            spans = (start, start + 6, start + 2, start + 6, length - 7, length)
            made.append(Prompt(tuple(ids), Cell("needle", "haystack", length, depth, *spans)))
    return made
