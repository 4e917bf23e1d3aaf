"""Memory that runs out: smaller batches with the same answers, or an error that names the key."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import tiny_models
import torch

from retrieval_heads.detection.detector import detect
from retrieval_heads.engine.batched_decoding import RowsLayer
from retrieval_heads.masking import niah
from retrieval_heads.masking.head_means import calibrate_means
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.models.out_of_memory import Halving, MemoryShortage, is_out_of_memory

SETS = {str(n): HeadMask(((0, n % 4), (1, n // 4))) for n in range(10)}


@contextmanager
def room_for(loaded, rows: int, tokens: int = 10**9):
    """A model that has no memory for more rows, or more tokens at once, as CUDA would say it; yields the sizes seen."""
    seen = []

    def allocate(module, args, options):
        ids = options["input_ids"] if "input_ids" in options else args[0]
        held = options["past_key_values"].layers[0]
        # Tokens of rows side by side are one sequence.
        wanted = len(held.prompts) if isinstance(held, RowsLayer) else ids.shape[0]
        seen.append((wanted, ids.numel()))
        if wanted > rows or ids.numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")

    handle = loaded.model.base_model.register_forward_pre_hook(allocate, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize("scope", ["decode", "all"])
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_masked_runs_go_on_with_half_the_head_sets(scope, family, caplog):
    loaded, prompts = tiny_models.loaded(family), tiny_models.prompts()[:2]
    sets = {name: HeadMask(mask.heads, scope=scope) for name, mask in SETS.items()}
    options = {"max_new_tokens": 4, "decode_batch": 8}
    expected = [result.responses for result in niah.run(loaded, prompts, sets, **options)]
    with room_for(loaded, 3) as seen:
        found = [result.responses for result in niah.run(loaded, prompts, sets, **options)]
    assert found == expected
    # 8 and 4 fail once; from then on no batch is larger than 2.
    assert [rows for rows, _ in seen if rows > 2] == [8, 4]
    assert "Memory ran out with 8 head sets side by side (CUDA out of memory. Tried to" in caplog.text
    assert "A lower masked.batch or masked.lengths saves the attempt" in caplog.text


def name(result) -> str:
    """Results come as they are done: they are compared in the order of these."""
    return result.cell.name


def test_detection_goes_on_with_half_the_prompts():
    loaded, prompts = tiny_models.loaded("llama"), tiny_models.prompts()
    expected = list(detect(loaded, prompts, max_new_tokens=4))
    with room_for(loaded, 2) as seen:
        found = list(detect(loaded, prompts, max_new_tokens=4))
    assert [rows for rows, _ in seen if rows > 2] == [6, 3]
    for one, other in zip(sorted(found, key=name), sorted(expected, key=name), strict=True):
        assert one.response_ids == other.response_ids and one.cell == other.cell
        assert (one.scores - other.scores).abs().max().max() < 1e-5


@pytest.mark.parametrize(
    ("work", "key"),
    [
        (lambda loaded, prompts: list(detect(loaded, prompts, max_new_tokens=4)), "detection.lengths"),
        (
            lambda loaded, prompts: list(niah.run(loaded, prompts, SETS, max_new_tokens=4, decode_batch=8)),
            "masked.leng",
        ),
        (lambda loaded, prompts: calibrate_means(loaded, [prompts[0].ids]), "the lengths of the prompts"),
    ],
)
def test_what_cannot_be_halved_names_the_keys(work, key):
    loaded = tiny_models.loaded("llama")
    with (
        room_for(loaded, 8, tokens=20),
        pytest.raises(MemoryShortage, match=rf"quantization, or lower .*{key}"),
    ):
        work(loaded, tiny_models.prompts())


def test_a_prefill_that_failed_midway_is_begun_anew():
    loaded, prompts = tiny_models.loaded("llama"), tiny_models.prompts()
    expected = list(detect(loaded, prompts, max_new_tokens=4, rows=2))
    calls = []

    def fail_once(module, args):
        calls.append(1)
        # In the second layer of the second prompt's prefill: the first layer's cache is longer than the others.
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    handle = loaded.model.model.layers[1].register_forward_pre_hook(fail_once)
    found = list(detect(loaded, prompts, max_new_tokens=4, rows=2))
    handle.remove()
    answers, others = ({result.cell: result.response_ids for result in results} for results in (found, expected))
    assert answers == others and len(answers) == len(found) == len(expected)


def test_what_counts_as_running_out_of_memory():
    with pytest.raises(RuntimeError) as failed:
        torch.empty(2**55)
    assert is_out_of_memory(failed.value) and is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes"):
        Halving("rows", "key")([1, 2], lambda rows: exec("raise RuntimeError('shapes do not fit')"))


def test_tensors_of_the_failed_attempt_are_freed_before_the_next():
    alive = []

    class Held:
        def __init__(self):
            alive.append(1)

        def __del__(self):
            alive.pop()

    def work(rows):
        assert alive == []
        held = Held()
        if len(rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        del held
        return list(rows)

    assert Halving("rows", "key")([1, 2, 3, 4, 5], work) == [1, 2, 3, 4, 5]
