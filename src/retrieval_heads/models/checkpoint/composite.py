"""Language models inside checkpoints that also see or hear: loaded by their text part, or refused by name.

A composite configuration holds the language model's as a part. transformers loads some by a class of the whole, some by
the text model; for the others the text model is loaded here, its tensors found by the names that composites give them.
"""

from __future__ import annotations

import re
from typing import Any

from transformers import AutoModelForCausalLM

from retrieval_heads.models.unsupported import ModelError, text_config

# Types whose language model, loaded alone, gives the logits of the whole on text. ASSUME: transformers 5.23; a type
# that is not here is refused until it has been tried (tests/unit/models/test_composite.py).
COMPOSITE = frozenset(
    """
    aria deepseek_vl exaone4_5 fuyu gemma3 gemma4 gemma4_unified glmasr got_ocr2 granite_speech granite_speech_plus
    hyperclovax_vision_v2 idefics2 idefics3 internvl janus lfm2_vl lfm3_vl lighton_ocr llama4 llava llava_next
    llava_next_video llava_onevision minicpm_ocr minicpmv4_6 minicpmv4_7 mistral3 ovis2 qwen2_audio qwen3_5 qwen3_5_moe
    qwen3_asr smolvlm video_llama_3 vipllava voxtral
    """.split()
)
# Names of the text part in composites, old and new, as those of a text model.
TEXT_NAMES = {
    r"^language_model\.lm_head\.": "lm_head.",
    r"^(model\.)?(language_model|text_model)\.(model\.)?": "model.",
}
# Parts of a composite that no text goes through.
OTHER_PARTS = re.compile(
    r"(^|\.)(vision|visual|audio|image|video|vq|multi_modal|mm_|connector|projector|aligner|merger|encoder|qformer"
    r"|speech|generation_|embed_vision|embed_audio|mtp)\w*\."
    r"|(^|\.)image_newline$"
)


def is_composite(config: Any) -> bool:
    """Whether a configuration holds a language model beside other parts."""
    return text_config(config) is not config


def loadable(path: str, config: Any) -> Any:
    """The configuration that loads the language model of a checkpoint: its own, or that of its text part.

    Raises `ModelError` for a type without a causal language model, and for a composite that has not been tried.
    """
    known = AutoModelForCausalLM._model_mapping
    text = text_config(config)
    if is_composite(config) and config.model_type not in COMPOSITE:
        raise ModelError(
            f"the model '{path}' cannot be used: of model type '{config.model_type}' it is not known whether its "
            f"language model ('{text.model_type}') answers alone as inside the whole; choose a text-only model, or one "
            f"of {', '.join(sorted(COMPOSITE))}"
        )
    if type(config) in known:
        return config
    if type(text) in known:
        if (tied := getattr(config, "tie_word_embeddings", None)) is not None:
            text.tie_word_embeddings = tied
        return text
    raise ModelError(
        f"the model '{path}' cannot be used: model type '{config.model_type}' has no causal language model in "
        "transformers; choose a decoder-only model"
    )
