"""The probe against every family's own eager attention: rows, argmax, greedy output."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from tiny_families import FAMILIES

from retrieval_heads.detection.scores import Probe
from retrieval_heads.engine.attention.weights import attention_rows
from retrieval_heads.engine.forward_calls import forward
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.single_steps import greedy

TOKENS = 40


def prompt_ids(seed: int = 1) -> list[int]:
    return torch.randint(2, 94, (TOKENS,), generator=torch.Generator().manual_seed(seed)).tolist()


def eager_rows(family: str, ids: list[int]) -> dict[int, torch.Tensor]:
    """layer -> [heads, queries, keys] as eager attention returns them."""
    with torch.no_grad():
        output = tiny_models.build(family)(input_ids=torch.tensor([ids]), output_attentions=True, use_cache=False)
    rows = [weights[0] for weights in output.attentions if weights is not None]
    return dict(zip(tiny_models.loaded(family).info.attention_layers, rows, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_and_argmax_equal_eager_attention(family, matrix):
    loaded, ids = tiny_models.loaded(family), prompt_ids()
    expected = eager_rows(family, ids)
    worst, argmax_equal = 0.0, True
    for probed in (1, 4):  # a decode step, and a block of query tokens
        prefix = PrefixCache(loaded)
        prefix.prefill(ids[:-probed])
        seen: dict[int, list[tuple[torch.Tensor, int]]] = {}

        def keep(layer, rows, first, values, seen=seen):
            seen.setdefault(layer, []).extend((row, first) for row in rows[0].transpose(0, 1))

        probe = Probe(loaded.info, (30, 36))
        with branched(loaded, prefix.cache, listeners=[keep, probe]) as branch:
            forward(loaded, [ids[-probed:]], branch)
        reading = probe.reading()
        assert set(seen) == set(expected)
        for layer, rows in seen.items():
            want = expected[layer][:, -probed:]
            for row, (got, first) in zip(want.unbind(1), rows, strict=True):
                padded = torch.zeros_like(row)
                # Keys that a sliding window has dropped get nothing in the eager row either.
                padded[:, first : first + got.shape[-1]] = got
                worst = max(worst, (padded - row).abs().max().item())
            heads = len(want)
            argmax_equal &= bool((reading.argmax[:, layer, :heads] == want.argmax(-1).T).all())
            mass = want[..., 30:36].sum(-1).T
            worst = max(worst, (reading.span_mass[:, layer, :heads] - mass).abs().max().item())
    matrix.setdefault(family, {}).update(info=loaded.info, error=worst, argmax=argmax_equal)
    assert worst < 1e-4
    assert argmax_equal


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_output_is_unchanged_by_the_probe(family, matrix):
    loaded, ids = tiny_models.loaded(family), prompt_ids(2)
    plain = tiny_models.build(family, attention=loaded.info.kernel)
    with torch.no_grad():
        full = plain.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False, use_cache=True)
    expected = full[0, len(ids) :].tolist()
    prefix = PrefixCache(loaded)
    prefix.prefill(ids[:-1])
    with branched(loaded, prefix.cache, listeners=[Probe(loaded.info, (3, 6))]) as branch:
        [emitted] = greedy(loaded, branch, ids[-1], max_new_tokens=12)
    matrix.setdefault(family, {})["greedy"] = emitted == expected[: len(emitted)]
    assert emitted == expected[: len(emitted)]


def test_nothing_is_left_behind_on_the_model_even_after_an_error():
    loaded = tiny_models.loaded("llama")
    prefix = PrefixCache(loaded)
    prefix.prefill(prompt_ids()[:-1])
    before = loaded.model.config._attn_implementation
    with pytest.raises(RuntimeError, match="stop"), branched(loaded, prefix.cache):
        assert loaded.model.config._attn_implementation != before
        raise RuntimeError("stop")
    assert loaded.model.config._attn_implementation == before
    assert prefix.cache.get_seq_length() == TOKENS - 1


def test_layers_without_softmax_attention_have_no_reading():
    loaded, ids = tiny_models.loaded("qwen3_next"), prompt_ids()
    prefix = PrefixCache(loaded)
    prefix.prefill(ids[:-1])
    probe = Probe(loaded.info, (3, 6))
    with branched(loaded, prefix.cache, listeners=[probe]) as branch:
        forward(loaded, [ids[-1:]], branch)
    reading = probe.reading()
    assert loaded.info.attention_layers == (1, 3)
    assert (reading.argmax[:, [0, 2]] == -1).all() and reading.span_mass[:, [0, 2]].isnan().all()
    assert (reading.argmax[:, [1, 3]] >= 0).all() and not reading.span_mass[:, [1, 3]].isnan().any()


def test_rows_by_hand():
    query = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])
    key = torch.tensor([[[[0.0, 0.0], [3.0, 1.0]]]])
    rows = attention_rows(query, [key], None, scaling=1.0)
    e = torch.e
    assert torch.allclose(rows[0, 0, 0], torch.tensor([1 / (1 + e**3), e**3 / (1 + e**3)]))
    assert torch.allclose(rows[0, 1, 0], torch.tensor([1 / (1 + e**2), e**2 / (1 + e**2)]))
    sunk = attention_rows(query, [key], None, scaling=1.0, s_aux=torch.tensor([0.0, 0.0]))
    assert torch.allclose(sunk[0, 0, 0], torch.tensor([1 / (2 + e**3), e**3 / (2 + e**3)]))
    capped = attention_rows(query, [key], None, scaling=1.0, softcap=1.0)
    top = torch.tensor(3.0).tanh().exp()
    assert torch.allclose(capped[0, 0, 0], torch.stack([1 / (1 + top), top / (1 + top)]))
    windowed = attention_rows(query, [key], None, scaling=1.0, sliding_window=1)
    assert torch.equal(windowed[0, :, 0], torch.tensor([[0.0, 1.0], [0.0, 1.0]]))


def test_shared_keys_equal_repeated_keys():
    torch.manual_seed(0)
    query, prefix, own = torch.randn(3, 4, 1, 8), torch.randn(1, 2, 7, 8), torch.randn(3, 2, 2, 8)
    whole = torch.cat([prefix.expand(3, -1, -1, -1), own], dim=2)
    assert torch.allclose(attention_rows(query, [prefix, own], None), attention_rows(query, [whole], None), atol=1e-6)
