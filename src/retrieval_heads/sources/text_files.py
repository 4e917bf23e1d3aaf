"""Text files that people give: haystacks, needle tables, documents, articles. One reader for all of them.

Files are UTF-8, with or without a byte order mark. Lines end at a line feed, with or without a carriage return in
front, never at another character that Unicode calls a line end. Standard library only: the Snakefile asks while it is
parsed.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

# Texts by their names, as systems that tell no capitals spell the suffix too.
TEXTS = "*.[tT][xX][tT]"
MARKS = (b"\xff\xfe", b"\xfe\xff")
# Documents whose files may hold hardly any control character.
DOCUMENTS = (b"%PDF-", b"PK\x03\x04")
# Control characters that stand in no text, whatever its coding.
NO_TEXT = frozenset({*range(1, 8), *range(14, 27), 127})
# What pandas takes for an empty value or a truth value when it stands in a column of names.
MISREAD = {"", "#n/a", "#na", "<na>", "n/a", "na", "null", "nan", "-nan", "none", "true", "false"}


class TextFileError(ValueError):
    """A text file that cannot be used; the message names the config key, the file and the remedy."""


def read_text(path: Path | str, key: str) -> str:
    """The text of a file, a byte order mark left out, lines parted by line feeds.

    key: of the config, which names the file in an error. Raises `TextFileError` for a file that is not UTF-8 text, or
    that cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise TextFileError(f"{key}: no file '{path}'; put it there, or name another one") from None
    except OSError as error:
        raise TextFileError(f"{key}: '{path}' cannot be read ({error.strerror}); give a text file") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} is {content[error.start]:#04x}"
        raise TextFileError(f"{key}: '{path}' is not UTF-8 ({where}); {_remedy(path, content)}") from None
    if "\0" in text:
        raise TextFileError(f"{key}: '{path}' holds zero bytes; {_remedy(path, content)}")
    return text.replace("\r\n", "\n")


def _remedy(path: Path | str, content: bytes) -> str:
    """How a file becomes UTF-8; a file of another kind is to go. Its coding is named where the bytes leave no doubt."""
    coding = _coding(content)
    possible = [coding] if coding else ["utf-16le", "utf-16be", "latin1"]
    if content.startswith(DOCUMENTS) or not any(_is_text(content, one) for one in possible):
        return "it is no plain text, so take it away from there"
    if coding:
        return f"save it as UTF-8, as `iconv -f {coding} -t utf-8 '{path}'` does for {coding.upper()}"
    return (
        f"save it as UTF-8 in the program that wrote it, or with `iconv -f CODING -t utf-8 '{path}'`, where CODING is "
        "its own, which cannot be told from its bytes (cp1252, cp1251, gbk, shift_jis or utf-16le, say)"
    )


def _coding(content: bytes) -> str | None:
    """UTF-16 where a mark says so, or where half of the characters have a zero half, the same one: a Latin text."""
    if content[:2] in MARKS:
        return "utf-16"
    sides = (b"\0" in content[1::2], b"\0" in content[::2])
    if sum(sides) != 1 or content.count(0) * 4 < len(content):
        return None
    return "utf-16le" if sides[0] else "utf-16be"


def _is_text(content: bytes, coding: str) -> bool:
    """Whether bytes read as characters that a text holds: neither control nor private nor unknown ones."""
    try:
        characters = set(content.decode(coding))
    except UnicodeDecodeError:
        return False
    ranks = {unicodedata.category(one) for one in characters}
    return "\0" not in characters and not NO_TEXT & set(map(ord, characters)) and not ranks & {"Cn", "Co", "Cs"}


def list_texts(folder: Path | str) -> list[Path]:
    """Texts (.txt, .TXT) of a folder in the order of their names, without hidden ones (`._a.txt`, `.~lock.a.txt`)."""
    found = Path(folder).glob(TEXTS)
    return sorted(path for path in found if not path.name.startswith(".") and not path.is_dir())


def read_table(path: Path | str, key: str) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a tab-separated table without quoting; blank lines are left out, values are stripped.

    Raises `TextFileError` for a column named twice, or a row with more fields than there are columns.
    """
    header, *lines = read_text(path, key).split("\n")
    columns = [name.strip() for name in header.split("\t")]
    if twice := [name for name in columns if name and columns.count(name) > 1]:
        raise TextFileError(f"{key}: '{path}' names the column '{twice[0]}' twice; take one out, or rename it")
    rows = []
    for number, line in enumerate(lines, start=2):
        fields = [field.strip() for field in line.split("\t")]
        if not any(fields):
            continue
        if any(fields[len(columns) :]):
            raise TextFileError(
                f"{key}: '{path}', line {number} has {len(fields)} fields and the table {len(columns)} columns; take "
                "out the tabs that part nothing"
            )
        rows.append(dict(zip(columns, fields + [""] * len(columns), strict=False)))
    return columns, rows


def has_braces(path: Path | str) -> bool:
    """Whether the workflow would take a part of a path for a wildcard."""
    return bool({"{", "}"} & set(str(path)))


def is_misread(name: str) -> bool:
    """Whether a table would not give a name back as it is: it reads as a number, a truth value or an empty one."""
    try:
        float(name)
    except ValueError:
        return name.lower() in MISREAD
    return True
