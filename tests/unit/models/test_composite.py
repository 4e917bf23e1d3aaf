"""Language models inside checkpoints that see or hear: they give the logits of the whole, or are refused by name."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from tiny_families import BASE, FAMILIES
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
)

from retrieval_heads.models import loading
from retrieval_heads.models.checkpoint.composite import COMPOSITE, is_composite, loadable
from retrieval_heads.models.checkpoint.reading import read_saved_config
from retrieval_heads.models.unsupported import ModelError

# Every size that the parts of composites have names for.
SMALL = {
    **dict.fromkeys(("hidden_size", "embed_dim", "d_model", "out_hidden_size", "vision_output_dim"), 32),
    **dict.fromkeys(("projector_input_dim", "projector_output_dim"), 32),
    **dict.fromkeys(("intermediate_size", "mlp_dim", "encoder_ffn_dim"), 48),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "depth", "encoder_layers", "n_layer"), 2),
    **dict.fromkeys(("num_attention_heads", "num_heads", "encoder_attention_heads", "num_key_value_heads"), 4),
    **dict.fromkeys(("image_size",), 28),
    **{"patch_size": 14, "head_dim": 8, "num_position_embeddings": 64, "pixel_shuffle_ratio": 0.5},
}
CLASSES = (AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoModelForCausalLM)
SHAPED_AS = {"qwen3_5_moe": "qwen3_next"}


def tiny(kind: str):
    """A small random model of a composite type, the text part as the tiny model of its family."""
    cls = CONFIG_MAPPING[kind]
    plain = cls()
    text = plain.get_text_config(decoder=True)
    key = next(name for name, value in vars(plain).items() if value is text)
    family = text.model_type.removesuffix("_text")
    shape = FAMILIES.get(text.model_type, FAMILIES.get(SHAPED_AS.get(family, family), {}))
    parts = {key: {**BASE, **shape, "model_type": text.model_type}}
    for name in cls.sub_configs:
        part = getattr(plain, name, None)
        if name != key and part is not None:
            known = {size: value for size, value in SMALL.items() if hasattr(part, size)}
            parts[name] = type(part)(**known).to_dict()
    config = cls(**parts)
    torch.manual_seed(0)
    made_by = next(auto for auto in CLASSES if type(config) in auto._model_mapping)
    return made_by.from_config(config, attn_implementation="eager").float().eval()


@pytest.mark.parametrize("kind", sorted(COMPOSITE))
def test_the_language_model_alone_gives_the_logits_of_the_whole(kind, tmp_path):
    whole = tiny(kind)
    whole.save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    ids = torch.arange(2, 60)[None]
    with torch.no_grad():
        expected = whole(input_ids=ids).logits
        loaded = loading.load(str(tmp_path), attention="eager", device="cpu")
        found = loaded.model(input_ids=ids).logits
    assert torch.allclose(found, expected, atol=1e-4) and expected.abs().max() > 0.1
    described = loading.describe(str(tmp_path))
    assert described["heads_by_layer"] and described["layers"] == loaded.info.layers
    drop_a_tensor(tmp_path)
    with pytest.raises(ModelError, match=r"1 tensors are missing \("):
        loading.describe(str(tmp_path))


def drop_a_tensor(folder) -> None:
    """Take one matrix of the language model's attention out of a checkpoint."""
    weights = load_file(folder / "model.safetensors")
    other = ("vision", "visual", "audio", "image", "encoder", "vq", "generation", "projector", "connector")
    attention = [n for n in weights if ("attn" in n or "attention" in n) and n.endswith(".weight")]
    name = next(n for n in attention if not any(o in n for o in other))
    save_file({n: w for n, w in weights.items() if n != name}, folder / "model.safetensors", metadata={"format": "pt"})


def test_every_other_composite_type_of_transformers_is_refused_by_name():
    refused = set()
    for kind in CONFIG_MAPPING:
        try:
            config = CONFIG_MAPPING[kind]()
            composite = is_composite(config)
        except Exception:  # a configuration without defaults: its type is not one of those that are tried
            assert kind not in COMPOSITE
            continue
        if composite and kind not in COMPOSITE:
            with pytest.raises(ModelError, match=f"of model type '{config.model_type}' it is not known whether its"):
                loadable("mine", config)
            refused.add(kind)
    assert {"paligemma", "aya_vision", "mllama", "qwen2_vl"} <= refused


def test_a_type_without_a_causal_language_model_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    config = read_saved_config(str(tmp_path))
    with pytest.raises(ModelError, match=r"model type 't5'"):
        loadable("mine", config)
