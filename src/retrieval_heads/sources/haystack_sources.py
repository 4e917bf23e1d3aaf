"""Where haystacks come from: the texts of a folder, those of a package, or all of them joined into one.

Needle tests join a folder of essays, in the order of the names, into one long text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from retrieval_heads.sources.text_files import TextFileError, has_braces, list_texts, read_text


def source_name(part: Mapping) -> str:
    """What the joined text is called: after its folder, or after its package. part: config `haystacks`."""
    if part.get("folder"):
        return Path(part["folder"]).resolve().name
    return Path(part["package"]["member"].strip("/")).name or part["package"]["name"].split("==")[0]


def source_faults(part: Mapping) -> Iterator[str]:
    """What the schema cannot see in config `haystacks`."""
    if not part.get("folder") and not part.get("package"):
        yield "haystacks.folder: no texts are named; give a folder with .txt files, or haystacks.package"
    elif not part.get("folder") and not part["join"]:
        yield "haystacks.join: the texts of a package are used joined into one; set it to true"
    elif part["join"] and has_braces(source_name(part)):
        yield (
            f"haystacks.{'folder' if part.get('folder') else 'package'}: the joined text would be called "
            f"'{source_name(part)}', whose brace the workflow takes for a wildcard; rename the folder"
        )


def list_haystacks(folder: str, located: Callable[[str], str]) -> list[Path]:
    """The .txt files of a folder in the order of their names; raises `TextFileError` where one of them is no text.

    located: finds a file of the config on disk.
    """
    if not Path(located(folder)).is_dir():
        raise TextFileError(f"haystacks.folder: there is no folder '{folder}'; name one with plain text files (.txt)")
    files = list_texts(located(folder))
    if not files:
        raise TextFileError(f"haystacks.folder: no .txt file in '{folder}'; put plain text files there")
    names = [file.stem for file in files]
    if twice := [name for name in names if names.count(name) > 1]:
        raise TextFileError(f"haystacks.folder: '{folder}' holds two texts called '{twice[0]}'; rename one of them")
    for file in files:
        if has_braces(file):
            raise TextFileError(
                f"haystacks.folder: '{file}' has a brace in its name, which the workflow takes for a wildcard; rename "
                "the file"
            )
        if not read_text(file, "haystacks.folder").strip():
            raise TextFileError(f"haystacks.folder: '{file}' is empty; remove it or fill it")
    return files


def join_texts(files: Iterable[Path], output: Path, key: str) -> None:
    """Write the texts, in the order of their names, as one, an empty line between two. key: of the config."""
    files = sorted(files, key=lambda file: file.name)
    texts = [read_text(file, key).strip() for file in files]
    part = output.with_name(f"{output.name}.part")
    part.write_text("\n\n".join(text for text in texts if text) + "\n", encoding="utf-8")
    part.replace(output)
