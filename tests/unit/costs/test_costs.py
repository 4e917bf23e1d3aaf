"""Costs worked out by hand, and parameter counts against those that are public."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_families
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.cache_utils import get_layer_types_and_kwargs

from retrieval_heads.costs.job import Job
from retrieval_heads.costs.memory import DRAFT, Memory, job_memory, weight_bytes
from retrieval_heads.costs.plan import spans
from retrieval_heads.costs.resources import CARD_HOST_BASE, CPU_BASE, CostError, cards_needed, job_resources
from retrieval_heads.costs.shape import layer_kinds, read_shape

ROOT = Path(__file__).parents[3]
NOTES = sorted((ROOT / "resources/architectures").glob("*.json"))
# Two layers, 4 query heads and 2 KV heads of 8, feed-forward 48, 10 words.
SMALL = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 10,
    "tie_word_embeddings": False,
}


def test_parameters_by_hand():
    """Embeddings 2·10·32; a layer: q and o 2·32·32, k and v 2·32·16, feed-forward 3·32·48, norms 2·32; last norm 32."""
    assert read_shape(SMALL).parameters == 640 + 2 * (2048 + 1024 + 4608 + 64) + 32


def test_cache_by_hand():
    """2 layers x 2 (k, v) x 2 heads x 8 values for each of 100 tokens; a window of 30 keeps 30."""
    assert read_shape(SMALL).cached(100) == 2 * 2 * 2 * 8 * 100
    assert read_shape({**SMALL, "sliding_window": 30}).cached(100) == 2 * 2 * 2 * 8 * 30


def test_flops_by_hand():
    """2 FLOP a weight and token; attention: 2 layers x 2 x (32 + 32) for each pair; token p sees p + 1 keys."""
    weights = 2 * (2048 + 1024 + 4608)
    assert read_shape(SMALL).prefill_flops(0, 3) == 2 * weights * 3 + 2 * 2 * 64 * (1 + 2 + 3)
    assert read_shape(SMALL).prefill_flops(2, 3) == 2 * weights + 2 * 2 * 64 * 3
    windowed = read_shape({**SMALL, "sliding_window": 2})
    assert windowed.prefill_flops(0, 4) == 2 * weights * 4 + 2 * 2 * 64 * (1 + 2 + 2 + 2)
    assert windowed.prefill_flops(3, 4) == 2 * weights + 2 * 2 * 64 * 2


def test_latent_attention_by_hand():
    """DeepSeek's attention caches the latent (16) and the rotated key (4), whatever the number of heads."""
    latent = {"kv_lora_rank": 16, "q_lora_rank": 12, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6}
    shape = read_shape({**SMALL, **latent})
    assert shape.cached(100) == 2 * (16 + 4) * 100
    query, key_value = 12 * (32 + 4 * 12), 32 * 20 + 16 * 4 * (8 + 6)
    assert shape.layers[0].mixer.stored == query + key_value + 4 * 6 * 32


def test_linear_attention_keeps_a_state_of_one_size():
    """2 value heads of 8 x key size 8, and 4 steps of the convolution over 2·16 + 16 channels; no key is kept."""
    linear = {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_conv_kernel_dim": 4,
    }
    shape = read_shape({**SMALL, **linear})
    state = 2 * 8 * 8 + 4 * 48
    assert shape.cached(100) == state + 2 * 2 * 8 * 100
    assert shape.cached(200) - shape.cached(100) == 2 * 2 * 8 * 100


def test_experts_are_stored_all_and_used_by_two():
    experts = {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
    mlp = read_shape({**SMALL, **experts}).layers[0].mlp
    assert mlp.stored == 8 * 3 * 32 * 48 + 32 * 8
    assert mlp.used == 2 * 3 * 32 * 48 + 32 * 8


@pytest.mark.parametrize("file", NOTES, ids=lambda file: file.stem)
def test_architectures_have_the_parameters_that_are_public(file):
    numbers = json.loads(file.read_text(encoding="utf-8"))
    assert numbers["source"]
    if "parameters" in numbers:
        assert read_shape(numbers).parameters == pytest.approx(numbers["parameters"], rel=0.01)


# Tiny configurations hold names of other families, which real ones do not.
FOREIGN = {
    "minicpm3": ("n_routed_experts",),
    "mixtral": ("moe_intermediate_size",),
    "gpt_oss": ("moe_intermediate_size",),
}
COUNTED = (
    "cohere cohere2 deepseek_v2 deepseek_v3 ernie4_5 exaone4 gemma gemma2 gemma3_text glm4 glm4_moe gpt_oss granite "
    "hunyuan_v1_dense llama ministral3 mistral mixtral olmo2 olmo3 olmo_hybrid phi3 qwen2 qwen2_moe qwen3 qwen3_5_text "
    "qwen3_moe qwen3_next smollm3 stablelm"
).split()


@pytest.mark.parametrize("family", COUNTED)
def test_parameters_and_kinds_of_layers_are_those_of_transformers(family):
    changes = {**tiny_families.BASE, **tiny_families.FAMILIES[family]}
    for name in FOREIGN.get(family, ()):
        changes.pop(name, None)
    config = AutoConfig.for_model(family, **{**changes, "hidden_size": 256, "intermediate_size": 512, "head_dim": 64})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    numbers = config.to_dict()
    assert read_shape(numbers).parameters == pytest.approx(model.num_parameters(), rel=0.01)
    known = get_layer_types_and_kwargs(config.get_text_config(decoder=True))[0]
    assert layer_kinds(numbers, family, len(known)) == known


@pytest.mark.parametrize("family", ["gemma2", "gemma3_text", "gpt_oss", "cohere2", "exaone4", "olmo3", "qwen3_next"])
def test_kinds_of_layers_where_config_json_lists_none(family):
    config = AutoConfig.for_model(family, num_hidden_layers=12)
    numbers = {key: value for key, value in config.to_dict().items() if key != "layer_types"}
    assert layer_kinds(numbers, family, 12) == list(config.layer_types)


def test_weights_of_llama_2_7b():
    """13.5 GB in bfloat16; in 4 bits the embeddings stay: 6.48e9 x 0.5625 + 0.262e9 x 2 bytes."""
    shape = read_shape(json.loads((ROOT / "resources/architectures/meta-llama__Llama-2-7b-hf.json").read_text()))
    assert weight_bytes(shape, "bfloat16") == 13_476_831_232
    assert weight_bytes(shape, "bfloat16", "4bit") == pytest.approx(6_476_271_616 * 0.5625 + 262_144_000 * 2)
    assert weight_bytes(shape, "bfloat16", "8bit") == 6_476_271_616 + 262_144_000 * 2
    with pytest.raises(CostError, match="quantization '2bit' is unknown"):
        weight_bytes(shape, "bfloat16", "2bit")


def test_rows_copy_what_they_cannot_share():
    shape = read_shape({**SMALL, "layer_types": ["full_attention", "sliding_attention"], "sliding_window": 30})
    one, nine = (job_memory(shape, "float32", None, 100, rows, new_tokens=50).grown for rows in (1, 9))
    assert nine - one == 8 * 4 * (2 * 2 * 8 * 30 + 2 * 2 * 8 * 50)


def test_cards_are_counted_with_room_for_what_is_not_spread():
    assert cards_needed(Memory(weights=70 * 10**9, cache=0, activations=4 * 10**9, rows=0), 32) == 1
    assert cards_needed(Memory(weights=70 * 10**9, cache=0, activations=6 * 10**9, rows=0), 32) == 2
    with pytest.raises(CostError, match="do not fit on 32 cards"):
        cards_needed(Memory(weights=0, cache=0, activations=76 * 10**9, rows=0), 32)


def test_resources_of_a_job():
    numbers = json.loads((ROOT / "resources/architectures/meta-llama__Llama-2-7b-hf.json").read_text())
    card = job_resources(numbers, "bfloat16", None, 50000, 10**7)
    assert card["gpus"] == 1
    assert card["mem_mb"] == pytest.approx((CARD_HOST_BASE + 13_476_831_232) / 1e6, abs=1)
    cpu = job_resources(numbers, "bfloat16", None, 50000, 10**7, cards=0)
    total = job_memory(read_shape(numbers), "bfloat16", None, 50000).total
    assert cpu["gpus"] == 0 and cpu["mem_mb"] == pytest.approx((CPU_BASE + total) / 1e6, abs=1)
    assert cpu["runtime_min"] > card["runtime_min"]
    assert job_resources(numbers, "bfloat16", None, 50000, 2 * 10**7)["runtime_min"] > card["runtime_min"]


def test_a_missing_number_is_named():
    with pytest.raises(CostError, match="the key 'vocab_size' is missing"):
        read_shape({key: value for key, value in SMALL.items() if key != "vocab_size"})


def test_no_torch_is_needed():
    """The Snakefile asks for costs while it is parsed."""
    code = "import sys; from retrieval_heads.costs import resources, study; print('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT / "src")
    assert run.stdout.strip() == "False"


def test_a_patched_job_by_hand():
    """Two prompts are held, and the weights of one answer; two prefills a cell, the second from the needle on."""
    shape = read_shape(SMALL)
    plain = job_memory(shape, "float32", None, 1000, rows=4, kernel="sdpa")
    both = job_memory(shape, "float32", None, 1000, rows=4, kernel="sdpa", prompts=2)
    assert both == Memory(plain.weights, 2 * plain.cache, plain.activations, plain.rows, plain.grown)
    kept = job_memory(shape, "float32", None, 1000, rows=4, kernel="sdpa", prompts=2, keep_weights=True)
    # Layers x heads, for each token of a draft over the prompt, in float32.
    assert kept.rows - both.rows == DRAFT * (2 * 4) * 1000 * 4
    job = Job("one", "run_patching", shape, "float32", None, 1, 1, (200,), (0, 50), 100, 50, None, prompts=2)
    # Contexts of 100 tokens, needles at 0 and 50; each cell: the original, then its counterpart.
    assert spans(job) == [(0, 150), (0, 150), (0, 150), (50, 150)]
