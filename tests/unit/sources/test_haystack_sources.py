"""Haystacks joined into one, in the order of names, and needles that stand in them already."""

from __future__ import annotations

import pytest

from retrieval_heads.prompts.needle_selection import refuse_known_answers
from retrieval_heads.prompts.needles import Needle, NeedleError
from retrieval_heads.sources.haystack_sources import join_texts, list_haystacks, source_faults, source_name
from retrieval_heads.sources.text_files import TextFileError

PACKAGE = {"name": "essays==1.0", "member": "essays/Graham/", "sha256": "0" * 64}


def test_texts_are_joined_in_the_order_of_their_names(tmp_path):
    for name, text in (("b", "Second.\n"), ("a", "\nFirst.  "), ("c", " \n")):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    output = tmp_path / "joined.txt"
    join_texts([tmp_path / f"{name}.txt" for name in "cba"], output, "haystacks.folder")
    assert output.read_text(encoding="utf-8") == "First.\n\nSecond.\n"


def test_texts_of_one_name_are_refused(tmp_path):
    for name in ("a.txt", "a.TXT"):
        (tmp_path / name).write_text("A text.")
    with pytest.raises(TextFileError, match=r"haystacks\.folder: '.*' holds two texts called 'a'; rename one of them"):
        list_haystacks(str(tmp_path), str)


def test_a_joined_text_is_called_after_where_it_comes_from():
    assert source_name({"folder": "my/essays"}) == "essays"
    assert source_name({"package": PACKAGE}) == "Graham"
    assert source_name({"folder": "my/essays", "package": PACKAGE}) == "essays"


def test_sources_that_cannot_be_used():
    assert list(source_faults({"folder": "x", "join": False})) == []
    assert list(source_faults({"package": PACKAGE, "join": True})) == []
    assert "haystacks.folder: no texts are named" in next(source_faults({"join": True}))
    assert "haystacks.folder: the joined text would be called 'a{b}'" in next(
        source_faults({"folder": "x/a{b}", "join": True})
    )
    assert "haystacks.join: the texts of a package" in next(source_faults({"package": PACKAGE, "join": False}))


def test_an_answer_that_stands_in_a_haystack_is_refused():
    needle = Needle("kite", "They fly a kite.", "What?", "fly a kite", "")
    refuse_known_answers([needle], {"essays": "They fly a drone."}, "needles")
    with pytest.raises(NeedleError, match="needles: the answer of 'kite' already stands in haystack 'essays'"):
        refuse_known_answers([needle], {"essays": "I fly a kite."}, "needles")
