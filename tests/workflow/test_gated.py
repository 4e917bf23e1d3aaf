"""A gated model, from a hub on this machine that wants a token: fetched, measured, masked, and the token nowhere."""

from __future__ import annotations

import pytest

from stand_in_hub import commit, serve
from studies import DOTENV_TOKEN, HF_TOKEN, ROOT, SMALL, Study, contents

GATED = {"hub": "someone/gated", "revision": "main", "dtype": "float32"}
CONFIG = {
    "models": {"phantom": None, "organism": None, "gated": GATED},
    "detection": {"needles": ["kite"], "lengths": [256], "depths": [0, 100]},
    "masked": {"needles": ["hobby"], "lengths": [256], "depths": [50]},
    "head_sets": {**SMALL["head_sets"], "sizes": [5]},
}
CHECKPOINT = "results/models/gated"
CHAIN = ["results/gated/masked/errors.tsv", "results/figures/head_scores.svg", "results/exports/gated/envelope.json"]


@pytest.fixture
def gated(tmp_path) -> Study:
    study = Study(tmp_path)
    study.write(CONFIG)
    return study


# From a `.env` beside the config; and from the environment, where it goes before the one of the file.
CASES = {"file": (DOTENV_TOKEN, {"HF_TOKEN": ""}, CHAIN), "environment": (HF_TOKEN, {}, [CHECKPOINT])}


@pytest.mark.parametrize(("token", "environment", "targets"), CASES.values(), ids=CASES)
def test_the_token_opens_the_model_and_is_in_no_file(gated, token, environment, targets):
    with serve(ROOT / "resources/models/organism", token) as address:
        run = gated.snakemake(*targets, HF_ENDPOINT=address, **environment)
    assert run.returncode == 0, run.stdout
    names = set()
    for name, content in [("terminal", run.stdout.encode()), *contents(gated.folder)]:
        names.add(name)
        if name != ".env":
            assert HF_TOKEN.encode() not in content and DOTENV_TOKEN.encode() not in content, name
    assert {*targets} - {CHECKPOINT} | {f"{CHECKPOINT}/config.json", "logs/gated/download_model.log"} <= names
    assert any(name.startswith(".snakemake/metadata") for name in names)
    log = (gated.folder / "logs/gated/download_model.log").read_text(encoding="utf-8")
    assert f"models.gated.revision: main of someone/gated is now {commit('main')}; name that commit instead" in log


def test_a_hub_that_does_not_answer_leaves_no_token_in_the_log(gated):
    run = gated.snakemake(CHECKPOINT, HF_ENDPOINT="http://127.0.0.1:9")
    assert run.returncode != 0
    assert "Connection refused" in (gated.folder / "logs/gated/download_model.log").read_text(encoding="utf-8")
    for name, content in [("terminal", run.stdout.encode()), *contents(gated.folder)]:
        assert HF_TOKEN.encode() not in content, name


def test_without_a_token_the_job_says_what_to_do(gated):
    (gated.folder / ".env").unlink()
    with serve(ROOT / "resources/models/organism", HF_TOKEN) as address:
        run = gated.snakemake(CHECKPOINT, HF_ENDPOINT=address, HF_TOKEN="")
    assert run.returncode != 0
    message = "models.gated.hub: 'someone/gated' is gated, and HF_TOKEN is set nowhere; accept its terms on the hub"
    assert message in run.stdout
    assert message in (gated.folder / "logs/gated/download_model.log").read_text(encoding="utf-8")
    assert not (gated.folder / CHECKPOINT).exists()
