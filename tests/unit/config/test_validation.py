"""Bad configurations: one clear line each, before anything runs."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import yaml

from retrieval_heads.config.command_line import typed
from retrieval_heads.config.validation import ConfigError, checked, read_schema, unpinned

ROOT = Path(__file__).parents[3]
SCHEMA = read_schema(ROOT / "workflow/schemas/config.schema.yaml")
BUILT = {"results/models/phantom"}


PACKAGE = {"name": "x==1.0", "member": "x.gguf", "sha256": "0" * 64}


def located(path: str) -> str:
    return str(ROOT / path) if not Path(path).is_absolute() else path


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "config/offline.yaml").read_text(encoding="utf-8"))


def put(config: dict, key: str, value) -> dict:
    changed = copy.deepcopy(config)
    *parents, last = key.split(".")
    place = changed
    for parent in parents:
        place = place[parent]
    place[last] = value
    return changed


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


def test_a_folder_without_texts(config, tmp_path):
    with pytest.raises(ConfigError, match=r"haystacks.folder: there is no folder 'nowhere'; name one"):
        checked(put(config, "haystacks.folder", "nowhere"), SCHEMA, located, BUILT)
    with pytest.raises(ConfigError, match=r"haystacks.folder: no .txt file in"):
        checked(put(config, "haystacks.folder", str(tmp_path)), SCHEMA, located, BUILT)
    (tmp_path / "blank.txt").write_text(" \n")
    with pytest.raises(ConfigError, match=r"haystacks.folder: '.*blank.txt' is empty"):
        checked(put(config, "haystacks.folder", str(tmp_path)), SCHEMA, located, BUILT)


def test_an_own_folder_of_texts_needs_one_key(config, tmp_path):
    (tmp_path / "mine.txt").write_text("A book of my own. It has two sentences.")
    assert checked(put(config, "haystacks.folder", str(tmp_path)), SCHEMA, located, BUILT)


def test_an_answer_that_already_stands_in_a_haystack(config, tmp_path):
    (tmp_path / "spoilt.txt").write_text("They fly a paper kite beside seven sleepy walruses there.")
    with pytest.raises(ConfigError, match="the answer of 'kite' already stands in"):
        checked(put(config, "haystacks.folder", str(tmp_path)), SCHEMA, located, BUILT)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x\tThe sky is blue.\tWhat is the sky?\t\t", "needle 'x' has no answer span"),
        ("x\tThe sky is blue.\tWhat is the sky?\tgreen\t", "needle 'x': its answer is not inside its text"),
        ("x\tThe sky is blue.\t\tblue\t", "needle 'x' has no question"),
        ("x\tThe sky is bluer.\tWhat?\tblue\t", "'blue' is only a part of a word of its text"),
        ("x\tA red sky is red.\tWhat?\tred\t", "its answer 'red' stands 2 times in its text; give it a `cue`"),
        ("x\tThe cafe\u0301 is blue.\tWhat?\tcaf\u00e9\t", "are written in different forms of Unicode"),
        ("x\tThe sky is!\tWhat?\t!\t", "its answer '!' holds no word"),
        ("nan\tThe sky is blue.\tWhat?\tblue\t", "tables would read this name as a number or an empty value"),
        ("x\tThe sky\tis blue.\tWhat?\tblue\tThe sky is", "line 2 has 6 fields and the table 5 columns"),
        ("x y\tThe sky is blue.\tWhat?\tblue\t", "a name is made of letters"),
    ],
)
def test_a_bad_needle(config, tmp_path, row, message):
    table = tmp_path / "needles.tsv"
    table.write_text(f"needle\ttext\tquestion\tanswer\tcue\n{row}\n")
    with pytest.raises(ConfigError, match=message):
        checked(put(config, "needles", str(table)), SCHEMA, located, BUILT)


@pytest.mark.parametrize("null", [None, "null"])
def test_null_takes_a_model_of_the_config_underneath_away(config, null):
    assert set(checked(put(config, "models.phantom", null), SCHEMA, located, BUILT)["models"]) == {"organism"}


def test_head_scores_may_stand_in_for_all_models(config, tmp_path):
    (tmp_path / "one.json").write_text("{}")
    given = {"folder": str(tmp_path), "models": {"one": {"file": "one.json"}}}
    full = checked({**config, "models": {}, "head_scores": given}, SCHEMA, located, BUILT)
    assert full["head_scores"]["models"]["one"]["format"] == "released"


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


def test_parts_that_no_target_uses_are_not_checked(config, tmp_path):
    table = tmp_path / "needles.tsv"
    table.write_text(
        "needle\ttext\tquestion\tanswer\tcue\n" + "".join(f"{n}\tThe {n}x.\tWhat?\t{n}x\t\n" for n in "ab")
    )
    config |= {"needles": str(table), "detection": {**config["detection"], "needles": ["a"]}}
    config |= {"masked": {**config["masked"], "needles": ["b"]}}
    assert checked(put(config, "models.phantom", None), SCHEMA, located, BUILT)
    with pytest.raises(ConfigError, match=r"calibration\.needles: no needle 'kite'"):
        checked(config, SCHEMA, located, BUILT)
    (tmp_path / "one.json").write_text("{}")
    given = {"folder": str(tmp_path), "models": {"one": {"file": "one.json"}}}
    alone = {**config, "models": {}, "head_scores": given, "needles": "nowhere", "haystacks": {"folder": "nowhere"}}
    assert checked(alone, SCHEMA, located, BUILT)


def test_whole_numbers_may_be_written_with_a_point(config):
    config["detection"] |= {"lengths": [256.0, 512], "depths": [0.0]}
    config["head_sets"] |= {"sizes": [2.0, "5%"], "seed": 1.0}
    full = checked(config, SCHEMA, located, BUILT)
    numbers = [*full["detection"]["lengths"], *full["detection"]["depths"], full["head_sets"]["sizes"][0]]
    assert [type(number) for number in (*numbers, full["head_sets"]["seed"])] == [int] * 5
    with pytest.raises(ConfigError, match=r"detection\.lengths\.0: 256\.5 is not of type 'integer'"):
        checked(put(config, "detection.lengths", [256.5]), SCHEMA, located, BUILT)


def test_a_name_that_cannot_be_used_stops_the_study(config):
    for name in (70, "head_score"):
        with pytest.raises(ConfigError, match="models"):
            checked(put(config, "models", {name: {"path": "resources/models/organism"}}), SCHEMA, located, BUILT)


@pytest.mark.parametrize(
    "written", ["FLY A PAPER\nKITE beside seven sleepy walruses", "fly a paper\r\n  kite beside seven sleepy walruses"]
)
def test_an_answer_over_a_line_break_or_in_capitals_is_found(config, tmp_path, written):
    (tmp_path / "spoilt.txt").write_text(f"They {written}.", newline="")
    with pytest.raises(ConfigError, match="the answer of 'kite' already stands in"):
        checked(put(config, "haystacks.folder", str(tmp_path)), SCHEMA, located, BUILT)


def test_an_answer_inside_another_word_does_not_stand_there(config, tmp_path):
    (tmp_path / "book.txt").write_text("They saw that. It was redder.")
    table = tmp_path / "needles.tsv"
    rows = [f"{name}\tIt is the {word}.\tWhat is it?\t{word}\t" for name, word in (("a", "hat"), ("b", "red"))]
    table.write_text("\n".join(["needle\ttext\tquestion\tanswer\tcue", *rows]))
    config |= {"needles": str(table), "haystacks": {"folder": str(tmp_path)}, "calibration": None}
    config["detection"]["needles"], config["masked"]["needles"] = ["a"], ["b"]
    assert checked(config, SCHEMA, located, BUILT)


@pytest.mark.parametrize(
    ("coding", "fault"), [("latin1", "is not UTF-8"), ("utf-16", "is not UTF-8"), ("utf-16le", "UTF-8")]
)
def test_a_haystack_or_table_that_is_not_utf_8_is_refused_by_name(config, tmp_path, coding, fault):
    (tmp_path / "book.txt").write_bytes("A café of my own.".encode(coding))
    with pytest.raises(ConfigError, match=rf"haystacks\.folder: '.*book\.txt' .*{fault}.*; save it as UTF-8"):
        checked(put(config, "haystacks.folder", str(tmp_path)), SCHEMA, located, BUILT)
    with pytest.raises(ConfigError, match=rf"needles: '.*book\.txt' .*{fault}.*; save it as UTF-8"):
        checked(put(config, "needles", str(tmp_path / "book.txt")), SCHEMA, located, BUILT)


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
