"""Rotary settings and a window of the config, put over those of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_models
import torch
import yaml

from retrieval_heads.config.validation import ConfigError, checked, read_schema
from retrieval_heads.models import loading as models
from retrieval_heads.models.unsupported import ModelError

ROOT = Path(__file__).parents[3]
SCHEMA = read_schema(ROOT / "workflow/schemas/config.schema.yaml")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    tiny_models.build("llama").save_pretrained(folder)
    tiny_models.tokenizer().save_pretrained(folder)
    return str(folder)


def logits(loaded, positions: range) -> torch.Tensor:
    ids = torch.arange(2, 2 + len(positions))[None]
    with torch.inference_mode():
        return loaded.model(input_ids=ids, position_ids=torch.tensor([list(positions)])).logits


def test_a_linear_factor_divides_positions(checkpoint):
    """At factor 10 the positions 0, 10, 20 ... are what 0, 1, 2 ... are without: that defines linear scaling."""
    plain = models.load(checkpoint, device="cpu")
    scaled = models.load(checkpoint, device="cpu", rope={"rope_type": "linear", "factor": 10.0})
    torch.testing.assert_close(logits(scaled, range(0, 80, 10)), logits(plain, range(8)), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits(scaled, range(8)), logits(plain, range(8)), atol=1e-3)


@pytest.mark.parametrize(
    ("rope", "message"),
    [
        ({"factor": 4.0}, "rope.factor has no effect on the rotary type 'default'; name the rope_type"),
        ({"original_max_position_embeddings": 64}, "rope.original_max_position_embeddings has no effect"),
        ({"rope_type": "linear"}, "rope lacks 'factor', which the rotary type 'linear' needs; add it"),
        ({"rope_type": "yarn", "factor": 4}, "rope lacks 'original_max_position_embeddings', which the rotary type 'y"),
        (
            {"rope_type": "llama3", "factor": 4, "original_max_position_embeddings": 64},
            "rope lacks 'low_freq_factor', which the rotary type 'llama3' needs; choose another rope_type",
        ),
        ({"rope_type": "longrope"}, "rope lacks 'short_factor', which the rotary type 'longrope' needs"),
        ({"rope_type": "linear", "factor": "2"}, "rope.factor is '2', which is no number; write a number there"),
    ],
)
def test_settings_that_would_not_act_are_refused(checkpoint, rope, message):
    with pytest.raises(ModelError, match=message) as raised:
        models.describe(checkpoint, rope=rope)
    assert "models.<name>.rope" in str(raised.value) and checkpoint in str(raised.value)


def test_layers_with_settings_of_their_own_take_none(tmp_path):
    built = tiny_models.build("gemma3_text")
    built.save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="its kinds of layers have rotary settings of their own"):
        models.describe(str(tmp_path), rope={"rope_type": "linear", "factor": 2.0})


def test_a_window_of_the_config_is_a_fact_of_the_model(checkpoint):
    assert models.describe(checkpoint)["window"] == 512
    assert models.describe(checkpoint, window=5120)["window"] == 5120
    assert models.load(checkpoint, device="cpu", window=5120).info.window == 5120


@pytest.mark.parametrize(
    ("rope", "message"),
    [
        ({"rope_type": "spiral"}, "models.organism.rope.rope_type: 'spiral' is not one of"),
        ({"scale": 10}, "models.organism.rope: unknown key 'scale'"),
        ({"rope_type": "linear", "factor": 0.5}, "models.organism.rope.factor: 0.5 is less than the minimum of 1"),
    ],
)
def test_a_faulty_rope_is_refused_before_any_job(rope, message):
    config = yaml.safe_load((ROOT / "config/offline.yaml").read_text(encoding="utf-8"))
    config["models"]["organism"]["rope"] = rope
    with pytest.raises(ConfigError, match=message):
        checked(config, SCHEMA, lambda path: str(ROOT / path), {"results/models/phantom"})
