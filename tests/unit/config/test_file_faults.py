"""Texts and needles of a config that contradict it or each other: one clear line each, before anything runs."""

from __future__ import annotations

import pytest
from offline_config import BUILT, ROOT, SCHEMA, located, put

from retrieval_heads.config.validation import ConfigError, checked


def test_a_folder_without_texts(config, tmp_path):
    with pytest.raises(ConfigError, match=r"haystacks.folder: there is no folder 'nowhere'; name one"):
        checked(put(config, "haystacks.folder", "nowhere"), SCHEMA, located, BUILT)
    with pytest.raises(ConfigError, match=r"haystacks.folder: no .txt file in"):
        checked(put(config, "haystacks.folder", str(tmp_path)), SCHEMA, located, BUILT)
    (tmp_path / "blank.txt").write_text(" \n")
    with pytest.raises(ConfigError, match=r"haystacks.folder: '.*blank.txt' is empty"):
        checked(put(config, "haystacks.folder", str(tmp_path)), SCHEMA, located, BUILT)


def test_braces_in_names_of_files(config, tmp_path):
    (tmp_path / "a{b}.txt").write_text("A book of my own. It has two sentences.")
    with pytest.raises(ConfigError, match=r"haystacks.folder: '.*a\{b\}.txt' has a brace in its name"):
        checked(put(config, "haystacks.folder", str(tmp_path)), SCHEMA, located, BUILT)
    (tmp_path / "needles{1}.tsv").write_text((ROOT / config["needles"]).read_text())
    with pytest.raises(ConfigError, match=r"needles: '.*needles\{1\}.tsv' has a brace in its name"):
        checked(put(config, "needles", str(tmp_path / "needles{1}.tsv")), SCHEMA, located, BUILT)


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


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LFS.encode(), "is a pointer of Git LFS; run `git lfs pull` there"),
        (b'{"model_type": "llama", ', "is no JSON in UTF-8"),
        (b"\xef\xbb\xbf{}", "is no JSON in UTF-8"),
        (b'{"a": "\xe9"}', "is no JSON in UTF-8"),
        (b"[" * 100_000, "is no JSON in UTF-8"),
        (b"[1]", "holds no configuration"),
        (b"null", "holds no configuration"),
        (b'{"text_config": [1]}', "holds no configuration"),
        (b'{"num_hidden_layers": "3", "num_attention_heads": 4}', 'has "3" as num_hidden_layers, which is no number'),
        (b'{"max_position_embeddings": "512"}', 'has "512" as max_position_embeddings, which is no number'),
        (b'{"text_config": {"hidden_size": []}}', "as hidden_size, which is no number"),
    ],
)
def test_an_odd_configuration_of_a_checkpoint(config, tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        checked(put(config, "models.organism.path", str(tmp_path)), SCHEMA, located, BUILT)
    [line] = str(raised.value).split("\n")
    assert line.startswith("models.organism.path: ") and message in line


def test_numbers_of_a_configuration_may_be_left_open(config, tmp_path):
    (tmp_path / "config.json").write_text('{"num_attention_heads": null, "max_position_embeddings": null}')
    assert checked(put(config, "models.organism.path", str(tmp_path)), SCHEMA, located, BUILT)


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
