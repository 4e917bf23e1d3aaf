"""Bad configurations: one clear line each, before anything runs."""

from __future__ import annotations

import re

import pytest
from offline_config import BUILT, SCHEMA, located, put

from retrieval_heads.config.command_line import typed
from retrieval_heads.config.validation import ConfigError, checked, unpinned

PACKAGE = {"name": "x==1.0", "member": "x.gguf", "sha256": "0" * 64}


def test_the_default_is_accepted_and_filled_in(config):
    full = checked(config, SCHEMA, located, BUILT)
    assert full["detection"]["rank_by"] == "copy_count"
    assert full["models"]["organism"]["attention"] == "auto"
    assert "rank_by" not in config["detection"], "the config itself stays as written"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("modles", {}, "config: unknown key 'modles'; did you mean 'models'?"),
        ("detection.lenghts", [1], "detection: unknown key 'lenghts'; did you mean 'lengths'?"),
        ("models.organism.dtpye", "float32", "models.organism: unknown key 'dtpye'; did you mean 'dtype'?"),
        ("detection.lengths", "long", "detection.lengths: 'long' is not of type 'array'"),
        ("detection.lengths", [256, 0], "detection.lengths.1: 0 is less than or equal to the minimum of 0"),
        ("detection.lengths", [-5], "detection.lengths.0: -5 is less than or equal to the minimum of 0"),
        ("detection.depths", [101], "detection.depths.0: 101 is greater than the maximum of 100"),
        ("masked.depths", [-1], "masked.depths.0: -1 is less than the minimum of 0"),
        ("detection.lengths", [256, 9000], "detection.lengths: 9000 is beyond the window of model 'organism' (2048"),
        ("prompt.date", "2025-02-30", "prompt.date: '2025-02-30' is no day of the calendar"),
        ("models.organism.path", "no/such/model", "models.organism.path: there is no 'no/such/model/config.json'"),
        ("models.organism", {"hub": "a/b"}, "models.organism: give either `path`"),
        ("models.organism.gguf", "x.gguf", "models.organism: give either `path`"),
        ("models.organism", {"gguf": "no.gguf"}, "models.organism.gguf: there is no file 'no.gguf'; name a .gguf file"),
        ("models.organism", {"package": {**PACKAGE, "name": "x"}}, 'models.organism.package.name: "x" pins no version'),
        ("haystacks", {"package": {**PACKAGE, "name": "x>=1"}}, "haystacks.package.name: 'x>=1' pins no version"),
        ("haystacks", {"package": {**PACKAGE, "sha256": "ab"}}, "haystacks.package.sha256: 'ab' does not match"),
        ("haystacks", {"package": PACKAGE}, "haystacks.join: the texts of a package are used joined into one"),
        ("haystacks", {"repeat": True}, "haystacks.folder: no texts are named"),
        ("head_sets.sizes", ["many"], "neither a count of heads (30) nor a share of them ('5%')"),
        ("head_sets.sizes", [65], "head_sets.sizes: 65 is more than the 48 heads of model 'organism'; remove it"),
        ("needles", "no/table.tsv", "needles: no file"),
        ("detection.needles", ["kiet"], "detection.needles: no needle 'kiet' in the needle table"),
        ("prompt.template", "{context} only", "prompt.template: it must hold {question}"),
        ("models", {}, "models: none is left; name a model here, or a file of scores under head_scores.models"),
        ("head_scores", {"models": {"x": {}}}, "head_scores.models.x: the key 'file' is missing"),
        (
            "head_scores",
            {"models": {"x": {"file": "x.json"}}},
            "head_scores.models.x.file: there is no 'published/x.json'",
        ),
    ],
)
def test_a_fault_names_the_key_and_the_remedy(config, key, value, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        checked(put(config, key, value), SCHEMA, located, BUILT)


def test_a_missing_key_is_named(config):
    del config["detection"]["lengths"]
    with pytest.raises(ConfigError, match="detection: the key 'lengths' is missing"):
        checked(config, SCHEMA, located, BUILT)


def test_ranking_by_a_score_that_is_not_computed(config):
    config["detection"] |= {"scores": ["copy_count"], "rank_by": "query_focused"}
    with pytest.raises(ConfigError, match=r"detection\.rank_by: this score is not computed; add it"):
        checked(config, SCHEMA, located, BUILT)


def test_head_scores_may_stand_in_for_all_models(config, tmp_path):
    (tmp_path / "one.json").write_text("{}")
    given = {"folder": str(tmp_path), "models": {"one": {"file": "one.json"}}}
    full = checked({**config, "models": {}, "head_scores": given}, SCHEMA, located, BUILT)
    assert full["head_scores"]["models"]["one"]["format"] == "released"


def test_a_name_that_cannot_be_used_stops_the_study(config):
    for name in (70, "head_score"):
        with pytest.raises(ConfigError, match="models"):
            checked(put(config, "models", {name: {"path": "resources/models/organism"}}), SCHEMA, located, BUILT)


def test_text_of_the_command_line_is_read_where_a_number_is_wanted():
    given = {"head_sets": {"sizes": ["1", "5%"], "random_draws": "3"}, "needles": "5", "detection": {"steps": "true"}}
    wanted = {"head_sets": {"sizes": [1, "5%"], "random_draws": 3}, "needles": "5", "detection": {"steps": True}}
    assert typed(given, SCHEMA) == wanted
    assert given["head_sets"]["random_draws"] == "3", "what was given stays as it was"


def test_text_that_is_no_number_is_left_to_be_refused():
    assert typed({"head_sets": {"random_draws": "many"}}, SCHEMA) == {"head_sets": {"random_draws": "many"}}


def test_a_hub_model_whose_revision_is_no_commit_is_warned_of():
    hub = {"hub": "a/b"}
    models = {"newest": {**hub, "revision": "main"}, "tag": {**hub, "revision": "v1"}, "local": {"path": "x"}}
    warnings = unpinned({**models, "pinned": {**hub, "revision": "0123456789abcdef" + 24 * "0"}})
    assert [warning.split(";")[0] for warning in warnings] == [
        "models.newest.revision: 'main' pins nothing, as the hub may move it",
        "models.tag.revision: 'v1' pins nothing, as the hub may move it",
    ]
    assert all("the 40-digit commit of a/b" in warning for warning in warnings)
