"""Every format of head scores: what is written is read, and a broken file is refused with its reason."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from retrieval_heads.detection.scores import COPY_SCORES
from retrieval_heads.detection.scores import SCORES as DETECTED
from retrieval_heads.head_scores.formats import duoattention, envelope, qrhead
from retrieval_heads.head_scores.formats.columns import NEVER_NEGATIVE
from retrieval_heads.head_scores.formats.registry import FORMATS, read, score_of
from retrieval_heads.head_scores.scores import HeadScoreError, HeadScores, sidecar, write_scores

# Two cells, two layers, two heads that share one KV head.
SCORES = np.array([[[0.0, 0.5], [1.0, 0.0]], [[0.0, 0.25], [1.5, 0.0]]])
CELLS = pd.DataFrame({"needle": ["a", "b"], "length": [100, 100], "depth": [0, 50]})
HEAD_SCORES = HeadScores(SCORES, CELLS, {0: (2, 1), 1: (2, 1)})


def test_the_released_file_is_one_line_of_all_heads_layer_by_layer(tmp_path):
    file = tmp_path / "model.json"
    write_scores(file, HEAD_SCORES, {})
    assert file.read_text(encoding="utf-8").count("\n") == 1
    columns = json.loads(file.read_text(encoding="utf-8"))
    assert list(columns) == ["0-0", "0-1", "1-0", "1-1"]
    assert columns == {"0-0": [0, 0], "0-1": [0.5, 0.25], "1-0": [1, 1.5], "1-1": [0, 0]}


@given(arrays(float, (3, 2, 12), elements=st.integers(0, 2_000_000).map(lambda n: n / 1e6)))
def test_what_is_written_is_read(tmp_path_factory, scores):
    file = tmp_path_factory.getbasetemp() / "any.json"
    write_scores(file, HeadScores(scores), {})
    assert np.array_equal(read(file, "released").scores, scores)


def test_the_envelope_holds_the_same_scores(tmp_path):
    file = tmp_path / "model.json"
    envelope.write(file, HEAD_SCORES, {"model": "one"})
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["meta"] == {"model": "one"} and list(content["scores"]) == ["0-0", "0-1", "1-0", "1-1"]
    assert np.array_equal(read(file, "envelope").scores, SCORES)


def test_qrhead_is_a_list_of_means_the_highest_first(tmp_path):
    file = tmp_path / "qrhead.json"
    qrhead.write(file, HEAD_SCORES)
    assert json.loads(file.read_text(encoding="utf-8")) == [["1-0", 1.25], ["0-1", 0.375], ["0-0", 0.0], ["1-1", 0.0]]
    found = read(file, "qrhead", group_size=2)
    assert found.averaged and np.array_equal(found.scores, SCORES.mean(0)[None])
    assert found.index["kv_group"].to_list() == [0, 0, 0, 0]


def test_duoattention_is_one_value_a_kv_head(tmp_path):
    file = tmp_path / "full_attention_heads.tsv"
    duoattention.write(file, HEAD_SCORES)
    # The best head of each group; 1.25 is cut to 1.
    assert np.loadtxt(file, delimiter="\t", ndmin=2).tolist() == [[0.375], [1.0]]
    found = read(file, "duoattention", group_size=2)
    assert found.averaged and found.scores.tolist() == [[[0.375, 0.375], [1.0, 1.0]]]


def test_duoattention_reads_what_numpy_saves_and_cuts_it_to_0_and_1(tmp_path):
    file = tmp_path / "full_attention_heads.tsv"
    np.savetxt(file, [[-1e-4, 0.5], [1.2, 0.25]], delimiter="\t")
    assert read(file, "duoattention").scores.tolist() == [[[0.0, 0.5], [1.0, 0.25]]]


def test_duoattention_cannot_be_written_without_groups(tmp_path):
    with pytest.raises(HeadScoreError, match="not known which heads share keys; give group_size"):
        duoattention.write(tmp_path / "full_attention_heads.tsv", HeadScores(SCORES))


BROKEN = [
    ("released", '{"0-0": [1]}\n{"0-0": [1]}\n', "2 lines"),
    ("released", "", "0 lines"),
    ("released", '{\n "0-0": [\n  1\n ]\n}\n', "one object over 5 lines; write it on one, as `jq -c .` does"),
    ("released", '{"0-0": [1]', "not JSON"),
    ("released", "[1]", "no object with a list for every head"),
    ("released", "{}", "no object with a list for every head"),
    ("released", '{"0-0": [1], "model": "x"}', "the key 'model' is not 'layer-head'"),
    ("released", '{"0-0": [1], "0-0": [2]}', "the key '0-0' stands twice"),
    ("released", '{"0-0": [1], "00-0": [2]}', "the key '00-0' is not 'layer-head'"),
    ("released", '{"01-1": [1]}', "the key '01-1' is not 'layer-head'"),
    ("released", '{"٠-٠": [1]}', "is not 'layer-head'"),
    ("released", '{"0-0": [-0.5]}', "a score below 0"),
    ("released", '{"0-0": [1e6]}', r"a score of 1e\+06, where no retrieval score is beyond 100"),
    ("released", '{"0-0": [9223372036854775808]}', r"a score of 9\.223e\+18"),
    ("released", '{"0-0": [true]}', "a score is not a number"),
    ("released", '{"0-0": [[1], [2]]}', "a score is not a number"),
    ("released", "[" * 100_000, "lists in lists without end"),
    ("released", '{"0-0": [' + "1" * 5000 + "]}", "a number that cannot be read"),
    ("envelope", '{"meta": {}, "scores": {"0-0": [-1e6]}}', "no retrieval score is beyond 100"),
    ("envelope", '{"meta": {}, "scores": {"0-0": [-0.5]}}', "a score below 0, which no copy_count is"),
    ("envelope", '{"meta": {"score": "copy_set"}, "scores": {"0-0": [-0.5]}}', "a score below 0, which no copy_set is"),
    ("envelope", "[" * 100_000, "lists in lists without end"),
    ("qrhead", "[" * 100_000, "lists in lists without end"),
    ("qrhead", '[["0-0", 1e6]]', "no retrieval score is beyond 100"),
    ("qrhead", '[["0-0", [1]]]', "a score is not a number"),
    ("duoattention", "0.5\t1e6\n", r"a value of 1e\+06; gates lie in 0 to 1"),
    ("released", '{"0-0": [1], "1-1": [1]}', "2 heads of 2 x 2"),
    ("released", '{"0-0": [1], "0-1": [1, 2]}', r"lists of \[1, 2\] scores"),
    ("released", '{"0-0": []}', r"lists of \[0\] scores"),
    ("released", '{"0-0": 0.5}', "the value of '0-0' is no list"),
    ("released", '{"0-0": [NaN]}', "not a finite number"),
    ("released", '{"0-0": [null]}', "a score is not a number"),
    ("released", '{"0-0": ["1"]}', "a score is not a number"),
    ("released", '{"meta": {}, "scores": {"0-0": [1]}}', "give it with format: envelope"),
    ("envelope", '{"0-0": [1]}', "an envelope has the keys 'meta' and 'scores' and no other"),
    ("envelope", '{"meta": {}, "scores": {"0-0": [1], "1-1": [1]}}', "2 heads of 2 x 2"),
    ("qrhead", '{"0-0": [1]}', "not a list of"),
    ("qrhead", '[["0-0", 1], ["0-0", 2]]', "1 heads stand twice"),
    ("qrhead", '[["0-0", 1], ["3-1", 2]]', "2 heads of 4 x 2"),
    ("qrhead", '[["0-0", NaN]]', "not a finite number"),
    ("duoattention", "0.5\t1\n0.5\n", r"rows of \[1, 2\] values"),
    ("duoattention", "layer\thead\n", "numbers between tabs and no header"),
    ("duoattention", "nan\t1\n", "not a finite number"),
    ("duoattention", "", r"rows of \[\] values"),
    ("own", '{"0-0": [1]}', "there is no sidecar"),
]


@pytest.mark.parametrize(("form", "text", "message"), BROKEN)
def test_a_broken_file_is_refused_with_its_reason(tmp_path, form, text, message):
    file = tmp_path / "model.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(HeadScoreError, match=message) as refused:
        read(file, form)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b'{"0-0": [1]}', mtime=0), "compressed with gzip"),
        ('{"0-0": [1]}'.encode("utf-16"), r"not text in UTF-8 \(byte 0 is 0xff\)"),
        ('{"0-0": [1]}'.encode("utf-16-le"), "not text in UTF-8 .zero bytes, as in UTF-16"),
        ('{"0-0": [1]}'.encode("utf-16-be"), "not text in UTF-8 .zero bytes, as in UTF-16"),
        ('{"0-0": [1], "é": 1}'.encode("latin-1"), r"not text in UTF-8 \(byte 14 is 0xe9\)"),
    ],
)
def test_bytes_that_are_no_utf8_are_refused(tmp_path, form, content, message):
    file = tmp_path / "model.json"
    write_scores(file, HEAD_SCORES, {})
    file.write_bytes(content)
    with pytest.raises(HeadScoreError, match=message) as refused:
        read(file, form)
    assert str(file) in str(refused.value)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    file = tmp_path / "model.json"
    file.write_bytes(b"\xef\xbb\xbf" + b'{"0-0": [1]}')
    assert read(file, "released").means.tolist() == [[1]]


def test_a_difference_may_be_negative_and_a_count_may_not(tmp_path):
    file = tmp_path / "model.json"
    for meta in ({"score": "query_focused"}, {}, {"measured": {"score": "logit_contribution"}}):
        write_scores(file, HeadScores(-SCORES, CELLS, HEAD_SCORES.heads_by_layer), meta)
        assert (read(file, "own").scores <= 0).all()
    envelope.write(file, HeadScores(-SCORES), {"score": "query_focused"})
    assert (read(file, "envelope").scores <= 0).all()
    for meta in ({"score": "copy_count"}, {"measured": {"score": "attention_sum"}}):
        write_scores(file, HeadScores(-SCORES, CELLS, HEAD_SCORES.heads_by_layer), meta)
        with pytest.raises(HeadScoreError, match="a score below 0"):
            read(file, "own")


def test_every_format_has_a_broken_file_here():
    assert {form for form, _, _ in BROKEN} == set(FORMATS)


def test_a_group_size_that_does_not_divide_the_heads(tmp_path):
    file = tmp_path / "model.json"
    write_scores(file, HEAD_SCORES, {})
    with pytest.raises(HeadScoreError, match="2 heads cannot share keys by 3; correct group_size"):
        read(file, "released", group_size=3)


def test_the_scores_that_are_never_negative_are_scores_of_detection_and_all_copy_scores_are():
    assert set(COPY_SCORES) < set(NEVER_NEGATIVE) < set(DETECTED)


@pytest.mark.parametrize(
    ("form", "content", "score"),
    [
        ("released", {}, "copy_count"),
        ("qrhead", [], "query_focused"),
        ("envelope", {"meta": {"score": "attention_sum"}, "scores": {}}, "attention_sum"),
        ("envelope", {"meta": [], "scores": {}}, "copy_count"),
        ("own", {}, "copy_set"),
    ],
)
def test_the_score_that_a_file_holds_is_known(tmp_path, form, content, score):
    file = tmp_path / "model.json"
    file.write_text(json.dumps(content))
    sidecar(file).write_text(json.dumps({"score": "copy_set"}))
    assert score_of(file, form) == score
