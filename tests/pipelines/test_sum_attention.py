"""General retrieval heads of the phantom, end to end and small: five heads of it were built to answer any question."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from studies import ROOT, Study

CONFIG = {
    "models": {"organism": None},
    "sum_attention": {
        "tasks": ["employee_count", "chief_executive"],
        "placements": ["planted", "natural"],
        "records": "records.tsv",
        "lengths": [200],
        "depths": [0, 100],
        "top": 5,
        "random_draws": 2,
        "lowest": ["50%", "100%"],
    },
}
FOLDER = "results/phantom/sum_attention"
PLACEMENTS = ["planted", "natural"]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Study:
    """A finished study of ten companies: eight identify heads, two validate them."""
    done = Study(tmp_path_factory.mktemp("sum attention"))
    records = (ROOT / "resources/sum_attention/records.tsv").read_text().splitlines()[:11]
    (done.folder / "records.tsv").write_text("\n".join(records) + "\n")
    done.write(CONFIG)
    run = done.snakemake("sum_attention")
    assert run.returncode == 0, run.stdout
    return done


def read(study: Study, path: str) -> pd.DataFrame:
    return pd.read_csv(study.folder / path, sep="\t", keep_default_na=False, na_values=[""])


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_prompt_is_as_long_as_the_config_says(found, placement):
    for part, records in (("identification", 8), ("validation", 2)):
        cells = read(found, f"{FOLDER}/{placement}/{part}/placement.tsv")
        assert len(cells) == 2 * records * (2 if placement == "planted" else 1)
        assert (cells["prompt_tokens"] == 200).all()


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_general_heads_are_the_planted_ones(found, placement):
    roles = json.loads((found.folder / "results/models/phantom/phantom.json").read_text())
    planted = {(role["layer"], role["head"]) for role in roles if role["role"] == "copy"}
    general = pd.read_csv(found.folder / f"{FOLDER}/{placement}/general_heads.csv")
    assert list(general.columns) == ["layer", "head", "mean_score"]
    assert set(zip(general["layer"], general["head"], strict=True)) == planted
    assert json.loads((found.folder / f"{FOLDER}/{placement}/general_heads.json").read_text()) == general.to_dict(
        "records"
    )
    assert len(pd.read_csv(found.folder / f"{FOLDER}/{placement}/heads.csv")) == 32


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_records_of_the_validation_were_not_seen(found, placement):
    asked = [
        set(read(found, f"{FOLDER}/{placement}/{file}")["needle"].str.rsplit("_", n=1).str[1])
        for file in ("identification/cells.tsv", "validation/runs.tsv")
    ]
    assert len(asked[0]) == 8 and len(asked[1]) == 2
    assert not asked[0] & asked[1]


def test_masking_the_general_heads_ends_it_and_masking_the_others_does_not(found):
    tasks = read(found, "results/tables/sum_attention_tasks.tsv")
    for _, part in tasks.groupby(["model", "placement", "task"]):
        assert part.set_index("kind")["accuracy"].to_dict() == {"none": 100, "top": 0, "random": 100}
    lowest = read(found, "results/tables/sum_attention_lowest.tsv")
    for _, part in lowest.groupby("placement"):
        assert part.set_index("k")["accuracy"].to_dict() == {0: 100, 16: 100, 32: 0}
    heads = read(found, "results/tables/sum_attention_heads.tsv")
    assert heads["general"].tolist() == [5, 5]
    for figure in ("sum_attention_depths", "sum_attention_lowest"):
        assert (found.folder / f"results/figures/{figure}.svg").stat().st_size > 5000


@pytest.mark.parametrize(
    "path",
    [
        *(f"{FOLDER}/planted/{name}" for name in ("ranking.tsv", "combined.tsv", "agreement.tsv")),
        *(f"results/tables/sum_attention_{name}.tsv" for name in ("heads", "tasks", "depths", "lowest")),
    ],
)
def test_the_columns_of_every_table_are_described(found, path):
    page = (ROOT / "docs/sum_attention.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{Path(path).name}`"))
    told = [re.match(r" ?([a-z_]*)", part)[1] for part in re.sub(r"\([^)]*\)", "", row.split("|")[2]).split(",")]
    assert set(read(found, path)) - {"model", "placement"} == set(told)


def test_a_finished_cell_is_never_asked_again(found):
    """As after a kill: the declared outputs are gone, one cell is missing, the others are there."""
    folder = found.folder / f"{FOLDER}/natural/identification"
    before = (folder / "cells.tsv").read_text().splitlines()
    for path in (folder / "cells.tsv", folder / "scores.tsv.gz", next(folder.glob("cells/*.json"))):
        path.unlink()
    run = found.snakemake(f"{FOLDER}/natural/identification/cells.tsv")
    assert run.returncode == 0, run.stdout
    log = (found.folder / "logs/phantom/measure_attention_sums_natural_identification.log").read_text()
    assert "15 of 16 cells are done already" in log
    assert len((folder / "cells.tsv").read_text().splitlines()) == len(before)


def test_the_study_of_a_70b_model_is_planned_without_gpu_or_network(tmp_path):
    fresh = Study(tmp_path)
    config = yaml.safe_load((ROOT / "config/sum_attention.yaml").read_text(encoding="utf-8"))
    # Below it lies the study without a network.
    config["models"]["organism"] = None
    fresh.write(config)
    jobs = fresh.planned("sum_attention")
    assert jobs.pop("sum_attention") == 1
    assert jobs == {
        "download_model": 1,
        "inspect_model": 1,
        "tokenize_haystacks": 1,
        "build_record_facts": 1,
        "place_record_facts": 4,
        "measure_attention_sums": 2,
        "rank_heads_by_task": 2,
        "select_general_heads": 2,
        "validate_general_heads": 2,
        "summarize_sum_attention": 1,
        "draw_figure": 2,
    }


def test_without_the_part_nothing_of_it_runs(tmp_path):
    jobs = Study(tmp_path).planned()
    assert jobs and not {
        "build_record_facts",
        "place_record_facts",
        "measure_attention_sums",
        "validate_general_heads",
        "summarize_sum_attention",
    } & set(jobs)


def test_the_plan_foresees_what_the_stage_prefilled(found):
    run = found.snakemake("plan_study")
    assert run.returncode == 0, run.stdout
    planned = read(found, "results/plan.tsv").set_index("rule")
    for placement in PLACEMENTS:
        cells = read(found, f"{FOLDER}/{placement}/identification/cells.tsv")
        foreseen = planned.loc[f"measure_attention_sums {placement}"]
        assert foreseen["cells"] == len(cells)
        # Coarse, because a sentence is a tenth of these short prompts and a needle goes back to the end of one.
        assert foreseen["tokens_reused"] == pytest.approx(cells["prefilled_tokens"].sum(), rel=0.2), placement
        runs = read(found, f"{FOLDER}/{placement}/validation/runs.tsv")
        asked = planned.loc[f"validate_general_heads {placement}"]
        assert asked["cells"] * asked["head_sets"] == len(runs)
