"""The archive of a study: whole, valid, private, and enough to draw every figure again."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml

from retrieval_heads.archive.check import METADATA, check
from retrieval_heads.running.provenance import git_state
from studies import DOTENV_TOKEN, HF_TOKEN, ROOT, Study, contents, unzipped

FIGURES = ("pdf", "svg", "png", "tsv")


@pytest.fixture(scope="module")
def archive(study) -> Path:
    """The archive of the study."""
    run = study.snakemake("archive_study")
    assert run.returncode == 0, run.stdout
    return study.folder / "results/archive/study.zip"


@pytest.fixture(scope="module")
def crate(archive, tmp_path_factory) -> Path:
    """The unzipped archive."""
    return unzipped(archive, tmp_path_factory.mktemp("crate"))


@pytest.fixture(scope="module")
def restored(archive, tmp_path_factory) -> Study:
    """What `verify_archive` makes of the archive alone, on a machine where nothing has been run."""
    elsewhere = Study(tmp_path_factory.mktemp("elsewhere"))
    elsewhere.write({})
    run = elsewhere.snakemake("verify_archive", "--config", f"archive={archive}")
    assert run.returncode == 0, run.stdout
    return elsewhere


def test_it_holds_what_the_study_consists_of(study, crate):
    names = {name for name, _ in contents(crate)}
    for figure in (study.folder / "results/figures").glob("*.svg"):
        assert {f"results/figures/{figure.stem}.{kind}" for kind in FIGURES} <= names
        assert f"results/notebooks/{figure.stem}.ipynb" in names
    for model in ("phantom", "organism"):
        for table in ("ranking.tsv", "detection/cells.tsv", "detection/scores.tsv.gz", "masked/runs.tsv"):
            assert f"results/{model}/{table}" in names
        assert f"results/head_score/{model}.json" in names
    assert {"Snakefile", "LICENSE", "CITATION.cff", "config/config.yaml", "report.html"} <= names
    assert {f"provenance/{graph}.{kind}" for graph in ("dag", "rulegraph") for kind in ("dot", "svg")} <= names
    assert not [name for name in names if name.endswith((".safetensors", ".npz"))], "weights stay at home"


def test_a_second_archive_is_not_made(study, crate):
    if json.loads((crate / "provenance/run.json").read_text())["git"] != git_state(ROOT):
        pytest.skip("the clone was edited since the archive was made, so another one is due")
    assert study.planned("archive_study") == {}


def test_it_says_where_everything_comes_from(study, crate):
    run = json.loads((crate / "provenance/run.json").read_text())
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    assert run["git"]["commit"] == (head.stdout.strip() or None)
    for model in ("phantom", "organism"):
        inspected = json.loads((study.folder / f"results/{model}/model.json").read_text())
        assert run["models"][model]["files"] == inspected["files"]
        drawn = json.loads((study.folder / f"results/{model}/head_sets.json").read_text())
        seeds = {one["name"]: one["seed"] for one in drawn if one["kind"] == "random"}
        assert run["seeds"]["head_sets"][model] == seeds
        assert len(seeds) == 4
    assert run["seeds"]["config"]["head_sets.seed"] == 0
    times = pd.read_csv(crate / "provenance/run_times.tsv", sep="\t")
    assert set(times["job"]) >= {"detect_heads_detection", "run_masked_niah_masked"}
    assert (times["seconds"] > 0).all() and (times["peak_memory_mib"] > 50).all()
    packages = pd.read_csv(crate / "provenance/packages.tsv", sep="\t").set_index(["machine", "package"])
    computed = pd.read_csv(crate / "provenance/machines.tsv", sep="\t")
    rows = computed.groupby("table")["rows"].sum()
    for model in ("phantom", "organism"):
        for table in (f"results/{model}/detection/cells.tsv", f"results/{model}/masked/runs.tsv"):
            assert rows[table] == len(pd.read_csv(crate / table, sep="\t"))
    for machine in computed["machine"]:
        assert packages.loc[(machine, "torch"), "version"].startswith("2.")
        assert {"cuda", "driver", "gpus"} <= run["machines"][machine].keys()
    resolved = yaml.safe_load((crate / "config/config.yaml").read_text())
    assert resolved["detection"]["lengths"] == [256, 448]
    assert resolved["masked"]["mode"] == "zero_output", "defaults of the schema are spelt out"


def test_it_is_a_valid_workflow_run_crate(crate, tmp_path):
    """Checked by roc-validator without a network: the context of RO-Crate 1.1 comes with rocrate."""
    import rocrate
    from requests import Request
    from requests_cache import CachedResponse, CachedSession
    from requests_cache.models import CachedRequest
    from rocrate_validator import models, services

    context = "https://w3id.org/ro/crate/1.1/context"
    stored = (Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_bytes()
    assert json.loads(stored)["@id"] == context, "this version of rocrate carries another context: pin 0.15"
    response = CachedResponse(status_code=200, url=context, headers={"Content-Type": "application/ld+json"})
    response._content, response.request = stored, CachedRequest.from_request(Request("GET", context).prepare())
    with CachedSession(str(tmp_path / "cache"), backend="sqlite", expire_after=-1) as session:
        session.cache.save_response(response)
    settings = services.ValidationSettings(
        rocrate_uri=str(crate),
        profile_identifier="workflow-run-crate-0.5",
        requirement_severity=models.Severity.REQUIRED,
        offline=True,
        cache_path=tmp_path / "cache",
        cache_max_age=-1,
    )
    result = services.validate(settings)
    assert result.passed(), [str(issue.message) for issue in result.get_issues()]
    broken = json.loads((crate / METADATA).read_text())
    broken["@graph"] = [entity for entity in broken["@graph"] if entity["@id"] != "#run"]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / METADATA).write_text(json.dumps(broken))
    settings.rocrate_uri = str(tmp_path / "broken")
    assert not services.validate(settings).passed(), "a run crate without its run is refused"


def test_the_graph_has_a_node_for_a_job_and_none_for_a_cell(study, crate, tmp_path):
    """As many nodes on the small grid as on the default one, which has many times the cells."""
    graph = (crate / "provenance/dag.dot").read_text()
    nodes = re.findall(r"^\s*\d+\[label", graph, flags=re.M)
    large = Study(tmp_path)
    large.write({})
    assert len(nodes) == sum(large.planned().values()) + 1
    assert len(nodes) < 50
    assert "<svg" in (crate / "provenance/dag.svg").read_text()
    assert (crate / "provenance/rulegraph.dot").read_text().count("label") < len(nodes)


def test_nothing_in_it_tells_where_and_by_whom_it_was_made(study, crate):
    private = [str(study.folder), str(ROOT), str(Path.home()), tempfile.gettempdir() + "/", sys.prefix]
    private += [HF_TOKEN, DOTENV_TOKEN]
    climbing = re.compile(rb"\.\./\.\./")
    # Names may be words (root, runner): they are searched where no prose and no image stands.
    names = re.compile(rf"(?<![\w.-])({re.escape(getpass.getuser())}|{re.escape(socket.gethostname())})(?![\w.-])")
    for name, content in contents(crate):
        for text in private:
            assert not re.search(rb"(?<![\w.])" + re.escape(text.encode()) + rb"(?!\w)", content), f"{text} in {name}"
        if name.startswith(("results/", "provenance/", "config/")) and not name.endswith((".png", ".pdf", ".md")):
            assert not climbing.search(content), name
        if name.endswith(".ipynb"):
            content = json.dumps(json.loads(content)["metadata"]).encode()
        if name.startswith(("results/", "provenance/", "config/config.yaml")) and not name.endswith(
            (".png", ".pdf", ".html")
        ):
            assert not names.search(content.decode()), name
    page = (crate / "report.html").read_bytes()
    assert not re.search(rb'"(?:\.\./)+(?:[\w.-]+/)+workflow/', page)


def test_no_token_is_in_any_log_or_result(study, archive):
    for folder in ("logs", "results", ".snakemake"):
        for name, content in contents(study.folder / folder):
            assert HF_TOKEN.encode() not in content and DOTENV_TOKEN.encode() not in content, f"{folder}/{name}"


def test_every_figure_is_drawn_again_byte_for_byte(study, archive, restored):
    table = pd.read_csv(restored.folder / "results/restored/study.tsv", sep="\t").set_index("file")
    figures = [path for path in sorted((study.folder / "results/figures").iterdir()) if path.suffix[1:] in FIGURES]
    assert len(figures) >= 4 * len(FIGURES)
    for figure in figures:
        again = restored.folder / "results/restored/study/results/figures" / figure.name
        assert again.read_bytes() == figure.read_bytes(), figure.name
        assert table.loc[f"results/figures/{figure.name}", "checked"] == "redrawn"
    assert set(table.index) == set(check(archive))


def test_a_restored_study_goes_on_from_its_scores(study, restored):
    """The restored folder is a study with code of its own: nothing to do; from the scores the same tables and figures.

    Two figures stand for all, which `verify_archive` has drawn from the tables.
    """
    folder = restored.folder / "results/restored/study"
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    again = subprocess.run([*command, "-n"], cwd=folder, capture_output=True, text=True, check=False)
    assert "Nothing to be done" in again.stdout + again.stderr, again.stdout
    for made in ("tables", "figures"):
        shutil.rmtree(folder / "results" / made)
    tables = [f"results/tables/{path.name}" for path in (study.folder / "results/tables").iterdir()]
    figures = [f"results/figures/{name}.svg" for name in ("head_scores", "masked_curve")]
    command += [*tables, *figures]
    run = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert run.returncode == 0, run.stdout
    jobs = set(re.findall(r"^(\w+) +\d+$", run.stdout.split("Job stats:")[1].split("\n\n")[0], flags=re.M))
    assert "draw_figure" in jobs
    assert not jobs & {
        "build_phantom",
        "inspect_model",
        "tokenize_haystacks",
        "place_needles",
        "detect_heads",
        "aggregate_scores",
        "run_masked_niah",
    }
    for name in (*tables, *figures):
        assert (folder / name).read_bytes() == (study.folder / name).read_bytes(), name


def test_a_changed_score_is_found(archive, restored, tmp_path):
    forged = tmp_path / "forged.zip"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(forged, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b"\t1\t", b"\t0\t", 1) if name.endswith("ranking.tsv") else content)
    run = restored.snakemake("verify_archive", "--config", f"archive={forged}")
    assert run.returncode != 0
    assert "results/organism/ranking.tsv is changed" in run.stdout
    assert not (restored.folder / "results/restored/forged.tsv").exists()
