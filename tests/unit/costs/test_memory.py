"""Predicted memory against torch's own accounting at full size, and against the resident memory of a real job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import memory_accounting
import pytest
from memory_accounting import NEW, QUESTIONS, SETS, job_bytes, prefill_bytes, small_model
from transformers import AutoConfig, AutoModelForCausalLM

from retrieval_heads.costs.memory import (
    ASKED_TOGETHER,
    DRAFT,
    EAGER_BLOCK,
    MASK_BLOCK,
    MOST,
    OWN_TOGETHER,
    ROLLING,
    ROOM,
    ROWS_EACH,
    SIDE_BY_SIDE,
    TOGETHER,
    job_memory,
)
from retrieval_heads.costs.resources import CPU_BASE, cards_needed, export_resources
from retrieval_heads.costs.shape import read_shape
from retrieval_heads.downstream import responses
from retrieval_heads.downstream.lm import padded_batches, side_by_side
from retrieval_heads.engine import batched_decoding, decoding, lookup, prefill
from retrieval_heads.masking import niah

ROOT = Path(__file__).parents[3]
# Architecture file -> layers that are tried (None: all of them), tokens and kernel.
FAMILIES = {
    "meta-llama__Llama-2-7b-hf": (None, 50000, "sdpa"),
    "meta-llama__Llama-3.3-70B-Instruct": (None, 50000, "sdpa"),
    "mistralai__Mixtral-8x7B-v0.1": (4, 50000, "sdpa"),
    "Qwen__Qwen1.5-14B": (4, 50000, "sdpa"),
    "Qwen__Qwen3-8B": (4, 50000, "sdpa"),
    "Qwen__Qwen3.5-9B": (4, 8000, "sdpa"),
    "google__gemma-3-12b-pt": (6, 50000, "sdpa"),
    "allenai__Olmo-3-1025-7B": (4, 50000, "sdpa"),
    "openai__gpt-oss-20b": (4, 8000, "eager"),
}


def architecture(name: str) -> dict:
    return json.loads((ROOT / f"resources/architectures/{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prefill_takes_what_torch_counts(name):
    layers, tokens, kernel = FAMILIES[name]
    numbers = architecture(name)
    numbers["num_hidden_layers"] = layers or numbers["num_hidden_layers"]
    parameters, peak, left = prefill_bytes(numbers, tokens, "bfloat16", kernel)
    shape = read_shape(numbers)
    memory = job_memory(shape, "bfloat16", None, tokens, kernel=kernel, kind="means")
    cache = 2 * shape.cached(tokens)
    assert memory.weights == pytest.approx(2 * parameters, rel=0.01)
    assert cache == pytest.approx(left, rel=0.1)
    whole = 2 * parameters * (read_shape(architecture(name)).parameters / parameters)
    assert whole + cache + memory.activations == pytest.approx(whole + peak, rel=0.1)
    if not shape.windowed:
        assert cache + memory.activations == pytest.approx(peak, rel=0.1)


# Kinds of jobs, and new tokens that their caches hold when an answer ends with its first.
KINDS = {"detection": NEW, "masked": NEW, "masked_all": 1, "means": 0, "trace": 1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", memory_accounting.FAMILIES)
def test_the_plan_is_the_peak_of_the_code_as_written(family, kind, monkeypatch):
    """Weights, cache and whatever else is alive at once, counted tensor by tensor in a real run."""
    # The longest draft is tried at once.
    monkeypatch.setattr(decoding.Drafts, "of", lambda self, start: ((2,) * DRAFT, DRAFT))
    loaded, shape = small_model(family)
    for tokens in (384, 512, 768):
        rows = SETS if kind.startswith("masked") else 1
        known = "masked" if kind == "trace" else kind
        planned = job_memory(shape, "float32", None, tokens, rows, loaded.info.kernel, known, KINDS[kind])
        peak = job_bytes(loaded, kind, tokens)
        assert planned.total == pytest.approx(planned.weights + peak, rel=0.1), (tokens, planned, peak)


@pytest.mark.parametrize("family", memory_accounting.FAMILIES)
def test_the_plan_of_a_downstream_job_is_its_peak(family, monkeypatch):
    """Prompts are held together, head sets are rows side by side or batches one after the other."""
    loaded, shape = small_model(family)
    # Every row guesses as much as it may; the harness stops at no token of its own.
    monkeypatch.setattr(lookup.Guesser, "guess", lambda self, least: [2] * DRAFT)
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", None)
    for tokens in (384, 512, 768):
        planned = job_memory(shape, "float32", None, tokens, QUESTIONS, loaded.info.kernel, "downstream", NEW)
        peak = job_bytes(loaded, "downstream", tokens)
        assert planned.total == pytest.approx(planned.weights + peak, rel=0.1), (tokens, planned, peak)


def test_the_plan_knows_the_numbers_of_the_engine():
    assert (EAGER_BLOCK, MASK_BLOCK) == (prefill.EAGER_BLOCK_TOKENS, prefill.MASK_BLOCK_TOKENS)
    assert (TOGETHER, SIDE_BY_SIDE) == (prefill.TOGETHER, prefill.SIDE_BY_SIDE)
    assert (OWN_TOGETHER, ROOM) == (niah.OWN_TOKENS, batched_decoding.ROOM)
    assert (DRAFT, MOST) == (lookup.DRAFT_TOKENS, decoding.MOST_TOKENS)
    assert (ROLLING, ROWS_EACH) == (responses.ROLLING_WINDOW, side_by_side.ROWS_EACH)
    assert ASKED_TOGETHER == padded_batches.TOGETHER


def test_llama_2_7b_under_scope_all_fits_on_one_card():
    """64 prompts of 50,000 tokens side by side would hold 1.7 TB of keys, those of 1,000 tokens 34 GB."""
    shape = read_shape(architecture("meta-llama__Llama-2-7b-hf"))
    for tokens in (1000, 50000):
        memory = job_memory(shape, "bfloat16", None, tokens, rows=64, kind="masked_all")
        assert memory.cache <= 2 * shape.cached(max(tokens, 8192))
        assert cards_needed(memory, 32) == 1
    assert niah.own_rows(1000, 64) == 8 and niah.own_rows(50000, 64) == 1


MEASURED = """
import sys
from dataclasses import replace
import torch
from retrieval_heads.detection import detector as detect
from retrieval_heads.models import loading as models
from retrieval_heads.models.usage import peak_of_process
from retrieval_heads.masking import niah
from retrieval_heads.masking.checkpoint_export import export_masked
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.prompts.cells import Cell, Prompt
torch.set_num_threads(1)
loaded = models.load(sys.argv[1], dtype="float32", device="cpu")
tokens = int(sys.argv[2])
ids = tuple(2 + place % 90 for place in range(tokens))
cell = Cell("needle", "haystack", tokens, 0, 1, 17, 4, 14, tokens - 40, tokens)
# Eight cells that share only their beginning, as many as are answered side by side.
places = [cell.needle_end + 40 * number for number in range(8)]
prompts = [Prompt((*ids[:place], 99, *ids[place + 1 :]), replace(cell, depth=place)) for place in places]
if sys.argv[3] == "export":
    export_masked(loaded, HeadMask(((0, 1), (1, 2))), sys.argv[1] + ".exported", "top-2")
elif sys.argv[3] == "detect":
    list(detect.detect(loaded, prompts, max_new_tokens=4))
else:
    sets = {str(head): HeadMask(((0, head % 8), (1, head // 8))) for head in range(int(sys.argv[3]))}
    list(niah.run(loaded, prompts, sets, max_new_tokens=4, decode_batch=64))
print(peak_of_process())
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A Llama of 110 million random parameters; all embeddings are read, as the output shares them."""
    import tiny_models

    folder = tmp_path_factory.mktemp("llama")
    config = AutoConfig.for_model(
        "llama",
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_key_value_heads=12,
        head_dim=64,
        vocab_size=32000,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        **{f"{name}_token_id": 0 for name in ("bos", "eos", "pad")},
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tiny_models.tokenizer().save_pretrained(folder)
    return folder


def measured(checkpoint: Path, tokens: int, job: str) -> int:
    """Peak resident memory, bytes, of a process that loads the checkpoint and does one job."""
    command = [sys.executable, "-c", MEASURED, str(checkpoint), str(tokens), job]
    paths = f"{ROOT / 'src'}:{ROOT / 'tests/unit'}"
    # What is freed goes back at once: holes in the heap, by chance up to 14 % here, are not the job's.
    environment = {"PYTHONPATH": paths, "PATH": "", "MALLOC_MMAP_THRESHOLD_": "65536"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(run.stdout.splitlines()[-1])


def numbers_of(checkpoint: Path) -> dict:
    return json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("tokens", "sets"), [(1024, 0), (1024, 32)])
def test_a_real_job_on_the_cpu_takes_what_is_predicted(checkpoint, tokens, sets):
    # Head sets of eight cells wait for 64 rows.
    rows, kind = (min(64, 8 * sets), "masked") if sets else (1, "detection")
    predicted = job_memory(read_shape(numbers_of(checkpoint)), "float32", None, tokens, rows, "sdpa", kind, 4)
    peak = measured(checkpoint, tokens, str(sets) if sets else "detect")
    assert CPU_BASE + predicted.total == pytest.approx(peak, rel=0.1)


def test_an_exported_checkpoint_takes_what_is_predicted(checkpoint):
    planned = export_resources(numbers_of(checkpoint), "float32")["mem_mb"] * 10**6
    assert planned == pytest.approx(measured(checkpoint, 1024, "export"), rel=0.1)
