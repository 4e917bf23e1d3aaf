"""Configurations of tiny models, by transformers' model type: three or four layers, four heads, width 32."""

from __future__ import annotations

VOCABULARY = 97
NEWLINE, END = 95, 96

BASE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": END,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
_MOE = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_ROUTED = {
    **_MOE,
    "n_routed_experts": 4,
    "n_group": 2,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
_WINDOW = {"sliding_window": 12}
_WINDOWS = {**_WINDOW, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
_MLA = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "num_key_value_heads": 4,
    "head_dim": 4,
    **_ROUTED,
}
_LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "num_hidden_layers": 4,
    "layer_types": ["linear_attention", "full_attention"] * 2,
    "shared_expert_intermediate_size": 24,
}
_CONV = {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention"] * 2, "conv_L_cache": 3}
_MAMBA = {
    "num_hidden_layers": 4,
    "mamba_d_state": 8,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}

# Those that the engine promises, then others, one of each kind.
FAMILIES: dict[str, dict] = {
    "llama": {},
    "mistral": _WINDOW,
    "mixtral": {**_WINDOW, **_MOE},
    "qwen2": {},
    "qwen3": {},
    "qwen3_moe": _MOE,
    "phi3": _WINDOW,
    "gemma2": {**_WINDOWS, "attn_logit_softcapping": 5.0, "query_pre_attn_scalar": 8},
    "gemma3_text": {**_WINDOWS, "query_pre_attn_scalar": 8},
    "olmo2": {},
    "olmo3": _WINDOWS,
    "cohere": {},
    "gpt_oss": {**_WINDOWS, **_MOE},
    "glm4": {},
    "deepseek_v3": _MLA,
    "granite": {"attention_multiplier": 0.2},
    "qwen3_next": {**_LINEAR, **_MOE},
    "gpt_neox": {},
    "bitnet": {},
    "cohere2": _WINDOWS,
    "deepseek_v2": {**_MLA, "topk_method": "greedy"},
    "ernie4_5": {},
    "exaone4": _WINDOWS,
    "falcon_h1": {**_MAMBA, "mamba_d_ssm": 64},
    "gemma": {},
    "gemma4_text": {"vocab_size_per_layer_input": VOCABULARY},
    "glm4_moe": _ROUTED,
    "gpt2": {},
    "granitemoehybrid": {
        **_MAMBA,
        **_MOE,
        "layer_types": ["mamba", "attention"] * 2,
        "shared_intermediate_size": 32,
    },
    "hunyuan_v1_dense": {},
    "jamba": {
        **_MAMBA,
        **_MOE,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
    "lfm2": _CONV,
    "llama4_text": {**_MOE, "attention_chunk_size": 12, "intermediate_size_mlp": 48},
    "longcat_flash": {
        **_MLA,
        "num_layers": 2,
        "zero_expert_num": 1,
        "expert_ffn_hidden_size": 24,
        "ffn_hidden_size": 48,
        "moe_topk": 2,
    },
    "minicpm3": _MLA,
    "ministral3": {},
    "nemotron_h": {
        "hybrid_override_pattern": "M*M*",
        "num_hidden_layers": 4,
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "olmo_hybrid": _LINEAR,
    "opt": {"word_embed_proj_dim": 32, "ffn_dim": 48},
    "phi": {},
    "qwen2_moe": {**_MOE, "shared_expert_intermediate_size": 24},
    "qwen3_5_text": _LINEAR,
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {},
}
