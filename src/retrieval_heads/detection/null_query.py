"""What heads attend to when nothing is asked: the other half of the query-focused score.

Zhang et al. 2025 (https://arxiv.org/abs/2506.09944).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers.cache_utils import Cache

from retrieval_heads.detection.scores import Probe
from retrieval_heads.engine.batched_decoding import Rows
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.models.loading import Loaded
from retrieval_heads.prompts.cells import Prompt

# The query that asks nothing.
NULL_QUERY = "N/A"
# A prompt, the cache of its first tokens, and how many those are: all in front of the question.
Context = tuple[Prompt, Cache, int]


def null_query_masses(loaded: Loaded, contexts: Sequence[Context]) -> list[torch.Tensor]:
    """Mean attention on each prompt's answer when the null query alone follows its context, [layers, heads]."""
    query = loaded.tokenizer.encode(NULL_QUERY, add_special_tokens=False)
    probes = [Probe(loaded.info, (prompt.cell.answer_start, prompt.cell.answer_end)) for prompt, _, _ in contexts]
    lengths = [length for prompt, _, held in contexts for length in (held + len(query), len(prompt.ids))]
    if loaded.info.takes_back and len(set(map(loaded.info.rotary.choice, lengths))) == 1:
        rows = Rows(loaded)
        for (_, cache, _), probe in zip(contexts, probes, strict=True):
            rows.add(cache, listeners=[probe])
        with rows.attending():
            rows.feed([query] * len(contexts))
    else:
        for context, probe in zip(contexts, probes, strict=True):
            _ask(loaded, *context, query, probe)
    return [probe.reading().span_mass.mean(0) for probe in probes]


def _ask(loaded: Loaded, prompt: Prompt, cache: Cache, held: int, query: Sequence[int], probe: Probe) -> None:
    whole = held + len(query)
    if loaded.info.rotary.choice(whole) != loaded.info.rotary.choice(len(prompt.ids)):
        prefix = PrefixCache(loaded)
        prefix.prefill(prompt.ids[:held], whole=whole)
        cache = prefix.cache
    with branched(loaded, cache, listeners=[probe]) as branch:
        forward(loaded, [query], branch)
