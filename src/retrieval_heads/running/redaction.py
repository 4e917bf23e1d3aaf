"""What must not leave the machine with a result: the folders of this computer, and tokens.

Host and user names are never recorded; where they are parts of a path they go with it.
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

# Names of environment variables with secret values, such as HF_TOKEN.
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY", re.IGNORECASE)
# Tokens of the Hugging Face hub and of GitHub, wherever they come from.
TOKEN = re.compile(rb"\b(?:hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,})\b")


class PrivacyError(ValueError):
    """Something that must not leave this machine; the message names the file and the kind, never the secret."""


def folders(repository: Path, study: Path, others: Iterable[Path] = ()) -> dict[str, str]:
    """Folder of this machine -> what a text says instead; the longest first, so that parts of a path come last.

    repository: the clone. study: the working directory. others: folders outside both that the config names.
    """
    repository, study = Path(repository).resolve(), Path(study).resolve()
    known = {str(Path(other).resolve()): Path(other).name for other in others}
    known |= {sysconfig.get_path("purelib"): "<packages>", sysconfig.get_path("stdlib"): "<python>"}
    known |= {str(Path.home()): "<home>", str(repository): ".", str(study): "."}
    # Seen from a study elsewhere, the clone's files have paths such as ../../home/name/clone/workflow.
    climb = os.path.relpath(repository, study)
    if climb.startswith(".."):
        known[climb] = "."
    # A home of "/" (some containers) would be found everywhere.
    return {folder: known[folder] for folder in sorted(known, key=len, reverse=True) if folder != "/"}


def _pattern(folder: str) -> re.Pattern[str]:
    """A whole folder: /home/ann is not found in /home/anna or in example.org/home/ann."""
    return re.compile(rf"(?<![\w.]){re.escape(folder)}(?![\w-])")


def scrub(text: str, known: Mapping[str, str]) -> str:
    """`text` with every known folder replaced."""
    for folder, instead in known.items():
        text = _pattern(folder).sub(instead, text)
    return text


def cleared(name: str, content: Path | bytes, known: Mapping[str, str]) -> Path | bytes:
    """What may leave under `name`: pages and notebooks scrubbed, everything else as it is; raises as `check` does."""
    data = content if isinstance(content, bytes) else Path(content).read_bytes()
    if name.endswith((".html", ".ipynb")):
        content = data = scrub(data.decode("utf-8"), known).encode("utf-8")
    check(name, data, known)
    return content


def check(name: str, content: bytes, known: Mapping[str, str]) -> None:
    """Raise `PrivacyError` when `content` holds a known folder, a secret of the environment, or any token."""
    text = content.decode("latin-1")
    for folder, instead in known.items():
        if _pattern(folder).search(text):
            raise PrivacyError(f"{name} names a folder of this machine (the one that would be written {instead!r})")
    if TOKEN.search(content) or any(secret in content for secret in secrets()):
        raise PrivacyError(f"{name} holds a token: revoke it, find out how it came there, and archive again")


def redacted(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """`text` with every secret of the environment, and any token, replaced."""
    content = text.encode("utf-8", "surrogateescape")
    for secret in secrets(environment):
        content = content.replace(secret, b"<secret>")
    return TOKEN.sub(b"<secret>", content).decode("utf-8", "surrogateescape")


def secrets(environment: Mapping[str, str] = os.environ) -> list[bytes]:
    """Values of the environment that must stay secret; short ones ('true', '1') are switches."""
    return [value.encode() for name, value in environment.items() if SECRET.search(name) and len(value) >= 8]
