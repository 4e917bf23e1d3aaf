"""The token of gated models: where it is taken from, and that no log shows it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from retrieval_heads.running.logs import job_log
from retrieval_heads.sources.hub_auth import refused, take_token

TOKEN = "hf_" + "ofTheTest" * 4


@pytest.fixture
def folders(tmp_path) -> list[Path]:
    """A study without a token and a clone whose `.env` has one among other lines."""
    for name in ("study", "clone"):
        (tmp_path / name).mkdir()
    (tmp_path / "clone/.env").write_text(f"# mine\nOTHER=x\nexport HF_TOKEN='{TOKEN}'\n", encoding="utf-8")
    return [tmp_path / "study", tmp_path / "clone"]


def test_the_first_file_with_a_token_gives_it_and_nothing_else(folders):
    environment = {"HOME": "here"}
    take_token(folders, environment)
    assert environment == {"HOME": "here", "HF_TOKEN": TOKEN}
    (folders[0] / ".env").write_text("HF_TOKEN=hf_$HOME\n", encoding="utf-8")
    environment = {"HF_TOKEN": "", "HOME": "here"}
    take_token(folders, environment)
    assert environment["HF_TOKEN"] == "hf_$HOME", "the study's own comes first, letter by letter"


def test_the_environment_goes_before_a_file(folders):
    environment = {"HF_TOKEN": "hf_of_the_shell"}
    take_token(folders, environment)
    assert environment == {"HF_TOKEN": "hf_of_the_shell"}


def test_without_any_file_nothing_is_set(folders):
    environment: dict[str, str] = {}
    take_token(folders[:1], environment)
    assert environment == {}


@pytest.mark.parametrize(
    ("environment", "why"), [({}, "is set nowhere"), ({"HF_TOKEN": "hf_wrong"}, "was not accepted")]
)
def test_a_refusal_names_key_model_and_remedy(environment, why):
    message = str(refused("models.mine.hub", "someone/model", environment))
    assert message.startswith(f"models.mine.hub: 'someone/model' is gated, and HF_TOKEN {why}; accept its terms")
    assert "hf_wrong" not in message


def test_whatever_a_library_logs_the_token_is_blacked_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "a-token-of-no-known-form")
    log = tmp_path / "job.log"
    with pytest.raises(SystemExit), job_log(str(log)):
        logging.getLogger("httpx").info("Authorization: Bearer a-token-of-no-known-form")
        raise RuntimeError(f"refused: {TOKEN}")
    for text in (log.read_text(encoding="utf-8"), capsys.readouterr().err):
        assert "refused: <secret>" in text
        assert "a-token-of-no-known-form" not in text and TOKEN not in text
    assert "Authorization: Bearer <secret>" in log.read_text(encoding="utf-8")
