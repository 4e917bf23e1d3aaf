"""What a config leaves out, takes away with null, or writes as another kind of number."""

from __future__ import annotations

import pytest
from offline_config import BUILT, SCHEMA, located, put

from retrieval_heads.config.validation import ConfigError, checked


@pytest.mark.parametrize("null", [None, "null"])
def test_null_takes_a_model_of_the_config_underneath_away(config, null):
    assert set(checked(put(config, "models.phantom", null), SCHEMA, located, BUILT)["models"]) == {"organism"}


@pytest.mark.parametrize(
    "part", ["calibration", "downstream", "quirks", "sum_attention", "plan", "environment", "archive"]
)
def test_an_optional_part_that_is_null_is_taken_away(config, part):
    null = checked({**config, part: None}, SCHEMA, located, BUILT)
    assert null == checked({key: value for key, value in config.items() if key != part}, SCHEMA, located, BUILT)


def test_optional_keys_and_entries_may_be_null_and_required_ones_may_not(config):
    config["models"]["organism"] |= {"lengths": None, "label": None, "window": None}
    full = checked(config, SCHEMA, located, BUILT)
    assert "lengths" not in full["models"]["organism"]
    assert full["models"]["organism"]["window"] is None
    with pytest.raises(ConfigError, match=r"detection\.depths: None is not of type 'array'"):
        checked(put(config, "detection.depths", None), SCHEMA, located, BUILT)


def test_whole_numbers_may_be_written_with_a_point(config):
    config["detection"] |= {"lengths": [256.0, 512], "depths": [0.0]}
    config["head_sets"] |= {"sizes": [2.0, "5%"], "seed": 1.0}
    full = checked(config, SCHEMA, located, BUILT)
    numbers = [*full["detection"]["lengths"], *full["detection"]["depths"], full["head_sets"]["sizes"][0]]
    assert [type(number) for number in (*numbers, full["head_sets"]["seed"])] == [int] * 5
    with pytest.raises(ConfigError, match=r"detection\.lengths\.0: 256\.5 is not of type 'integer'"):
        checked(put(config, "detection.lengths", [256.5]), SCHEMA, located, BUILT)
