"""Text files as people give them."""

from __future__ import annotations

import gzip

import pytest

from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.sources.text_files import TextFileError, is_misread, list_texts, read_table, read_text

ROW = "kite\tThe kite is red.\tWhat is the kite?\tred\t"


UNKNOWN = (
    "save it as UTF-8 in the program that wrote it, or with `iconv -f CODING -t utf-8 .* cannot be told from its by"
)


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "book.txt"
    path.write_bytes("\ufeffÄ book.\r\nTwo lines.".encode())
    assert read_text(path, "haystacks.folder") == "Ä book.\nTwo lines."


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_lines_end_at_line_feeds_alone(tmp_path, mark):
    path = tmp_path / "needles.tsv"
    path.write_text(
        f"needle\ttext\tquestion\tanswer\tcue\n{ROW.replace('What', f'Well{mark}what')}\n", encoding="utf-8"
    )
    assert read_needles(path)["kite"].question == f"Well{mark}what is the kite?"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_with_a_mark_blank_lines_and_short_rows(tmp_path, end):
    path = tmp_path / "needles.tsv"
    path.write_bytes(f"\ufeffneedle\ttext\tquestion\tanswer\tcue{end}{end}{ROW.strip()}{end}\t\t{end}".encode())
    assert list(read_needles(path)) == ["kite"]
    assert read_table(path, "needles")[1][0]["cue"] == ""


def test_hidden_files_and_folders_are_no_texts(tmp_path):
    for name in ("b.txt", "a.TXT", "._a.txt", ".~lock.b.txt", ".hidden.txt", "notes.md"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder.txt").mkdir()
    assert [path.name for path in list_texts(tmp_path)] == ["a.TXT", "b.txt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("café".encode("latin-1"), rf"is not UTF-8 \(byte 4 is 0xe9\); {UNKNOWN}"),
        ("“Smart” café, and more".encode("cp1252"), rf"is not UTF-8 .*; {UNKNOWN}"),
        ("Мельница открывается рано.".encode("cp1251"), rf"is not UTF-8 .*; {UNKNOWN}"),
        ("磨坊很早就开门。\n书记员".encode("gbk"), rf"is not UTF-8 .*; {UNKNOWN}"),
        ("水車小屋は早く開きます。".encode("shift_jis"), rf"is not UTF-8 .*; {UNKNOWN}"),
        ("一二三四一，磨坊很早就开门。".encode("utf-16-le"), rf".*; {UNKNOWN}"),
        ("Мельница открывается рано.\n".encode("utf-16-le"), rf".*; {UNKNOWN}"),
        ("Café au lait.\n".encode("utf-16-be"), ".*; save it as UTF-8, as `iconv -f utf-16be"),
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", r"is not UTF-8 .*; it is no plain text, so take it away"),
        ("café".encode("utf-16"), "is not UTF-8 .*; save it as UTF-8, as `iconv -f utf-16"),
        ("cafe".encode("utf-16-le"), "holds zero bytes; save it as UTF-8, as `iconv -f utf-16le"),
        (gzip.compress(b"A book.", mtime=0), r"is not UTF-8 \(byte 2 is 0x8b\); it is no plain text, so take it away"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", r"is not UTF-8 .*; it is no plain text, so take it away"),
        (b"GGUF\x03\x00\x00", "holds zero bytes; it is no plain text, so take it away"),
    ],
)
def test_other_encodings_are_refused_with_key_file_and_remedy(tmp_path, content, message):
    path = tmp_path / "book.txt"
    path.write_bytes(content)
    with pytest.raises(TextFileError, match=rf"^haystacks\.folder: '.*book\.txt' {message}"):
        read_text(path, "haystacks.folder")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(TextFileError, match=r"^needles: no file '.*gone'; put it there"):
        read_text(tmp_path / "gone", "needles")
    with pytest.raises(TextFileError, match=r"^needles: '.*' cannot be read"):
        read_text(tmp_path, "needles")


@pytest.mark.parametrize("name", ["70", "1e5", "inf", "nan", "NA", "None", "TRUE", "null"])
def test_names_that_tables_would_not_give_back(name):
    assert is_misread(name)
    assert not is_misread(f"{name}x")
