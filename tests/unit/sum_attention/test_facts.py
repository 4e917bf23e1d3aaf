"""Facts of records: templates filled, a split that no record crosses, and every fault named."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from retrieval_heads.config.validation import ConfigError, checked, read_schema
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.sources.text_files import TextFileError
from retrieval_heads.sum_attention.facts import FactError, read_records, read_tasks, split, state_facts

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "resources/sum_attention"
SCHEMA = read_schema(ROOT / "workflow/schemas/config.schema.yaml")
RECORDS = {
    "acorn": {"record": "acorn", "company": "Acorn Mills", "staff": "12", "chief": "Ada Quill"},
    "birch": {"record": "birch", "company": "Birch Looms", "staff": "34", "chief": "Bo Reed"},
}
TASKS = {
    "staff": {
        "text": "At {company} work {staff} people.",
        "question": "How many work at {company}?",
        "answer": "{staff}",
        "cue": "At {company} work",
    }
}
PART = {"tasks": ["hq_state", "flagship_product"], "lengths": [256], "depths": [0, 100], "top": 4, "lowest": ["50%"]}


def located(path: str) -> str:
    return str(ROOT / path) if not Path(path).is_absolute() else path


def test_a_fact_is_a_template_filled_from_a_record():
    facts = state_facts(RECORDS, TASKS, ["staff"], share=50, seed=0, cues=True)
    assert [fact.needle for fact in facts] == [
        Needle(
            "staff_acorn",
            "At Acorn Mills work 12 people.",
            "How many work at Acorn Mills?",
            "12",
            "At Acorn Mills work",
        ),
        Needle(
            "staff_birch",
            "At Birch Looms work 34 people.",
            "How many work at Birch Looms?",
            "34",
            "At Birch Looms work",
        ),
    ]
    assert {fact.part for fact in facts} == {"identification", "validation"}
    assert {fact.needle.cue for fact in state_facts(RECORDS, TASKS, ["staff"], share=50, seed=0, cues=False)} == {""}


def test_no_record_is_in_both_parts_whatever_the_task():
    facts = state_facts(
        read_records(FOLDER / "records.tsv"),
        read_tasks(FOLDER / "tasks.tsv"),
        ["employee_count", "hq_state"],
        share=80,
        seed=3,
        cues=True,
    )
    parts = {part: {fact.record for fact in facts if fact.part == part} for part in ("identification", "validation")}
    assert len(parts["identification"]) == 40
    assert len(parts["validation"]) == 10
    assert not parts["identification"] & parts["validation"]
    assert len(facts) == 100


def test_the_split_follows_from_names_and_seed():
    names = [f"r{number}" for number in range(20)]
    assert split(names, 80, 0) == split(names[::-1], 80, 0)
    assert split(names, 80, 0) != split(names, 80, 1)
    assert list(split(names, 75, 0).values()).count("identification") == 15


@pytest.mark.parametrize("share", [10, 90])
def test_a_part_without_records_is_refused(share):
    with pytest.raises(FactError, match=r"sum_attention.identification: \d+ % of 2 records leaves one part empty"):
        split(list(RECORDS), share, 0)


def test_the_shipped_records_reports_and_tasks_fit(tmp_path):
    """Written again, byte for byte; each report tells each fact once and its answer nowhere else."""
    before = {path: path.read_bytes() for path in [FOLDER / "records.tsv", *FOLDER.glob("reports/*.txt")]}
    subprocess.run([sys.executable, str(ROOT / "resources/write_companies.py")], check=True)
    assert before == {path: path.read_bytes() for path in [FOLDER / "records.tsv", *FOLDER.glob("reports/*.txt")]}
    tasks = read_tasks(FOLDER / "tasks.tsv")
    facts = state_facts(read_records(FOLDER / "records.tsv"), tasks, list(tasks), share=80, seed=0, cues=True)
    assert len(before) == 51 and len(facts) == 200
    for fact in facts:
        report = before[FOLDER / f"reports/{fact.record}.txt"].decode()
        assert report.count(fact.needle.text) == report.count(fact.needle.answer) == 1
        assert fact.needle.text.startswith(fact.needle.cue)


def config(**changes) -> dict:
    default = yaml.safe_load((ROOT / "config/offline.yaml").read_text(encoding="utf-8"))
    return {**copy.deepcopy(default), "sum_attention": {**PART, **changes}}


def test_a_study_of_facts_is_filled_in():
    full = checked(config(placements=["planted", "natural"]), SCHEMA, located, {"results/models/phantom"})
    assert full["sum_attention"]["identification"] == 80
    assert full["sum_attention"]["random_draws"] == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": ["llama"]}, "sum_attention.models: no model 'llama' in models"),
        (
            {"tasks": ["hq_town"]},
            "sum_attention.tasks: no task 'hq_town' in the table of templates; it has ",
        ),
        ({"records": "no/records.tsv"}, "sum_attention.records: no file '"),
        ({"templates": "resources/needles.tsv"}, "needles.tsv: the column 'task' is missing; add it"),
        ({"identification": 99.5}, "99.5 % of 50 records leaves one part empty"),
        ({"top": "many"}, "sum_attention.top: \"many\" is neither a count of heads (30) nor a share of them ('5%')"),
        ({"lenghts": [1]}, "sum_attention: unknown key 'lenghts'; did you mean 'lengths'?"),
        ({"placements": ["natural"], "documents": "resources/haystacks"}, "sum_attention.documents: there is no '"),
    ],
)
def test_a_fault_names_the_key_and_the_remedy(change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        checked(config(**change), SCHEMA, located, {"results/models/phantom"})


def test_an_answer_that_stands_in_a_haystack_is_refused(tmp_path):
    (tmp_path / "spoilt.txt").write_text("It rained over Kentucky.")
    spoilt = {**config(), "haystacks": {"folder": str(tmp_path)}}
    with pytest.raises(ConfigError, match=r"'Kentucky' \(hq_state of 'quillmere'\) already stands in"):
        checked(spoilt, SCHEMA, located, {"results/models/phantom"})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("record\tcompany\na\tA\na\tB\n", "record 'a' is listed twice"),
        ("record\tcompany\na b\tA\n", "record 'a b': a name is made of letters"),
        ("name\tcompany\na\tA\n", "the column 'record' is missing"),
    ],
)
def test_bad_records(tmp_path, table, message):
    (tmp_path / "records.tsv").write_text(table)
    with pytest.raises(FactError, match=message):
        read_records(tmp_path / "records.tsv")


def test_tasks_and_columns_that_are_there_twice_are_refused(tmp_path):
    table = tmp_path / "tasks.tsv"
    table.write_text("task\ttext\tquestion\tanswer\tcue\n" + "hq\tA {b}.\tWhat?\t{b}\t\n" * 2)
    with pytest.raises(FactError, match=r"tasks\.tsv: task 'hq' is listed twice; give each its own name"):
        read_tasks(table)
    table.write_text("record\tcompany\tcompany\na\tA\tB\n")
    with pytest.raises(TextFileError, match=r"^sum_attention\.records: '.*' names the column 'company' twice; t"):
        read_records(table)


TEMPLATES = {
    "{company is led": "'{company is led' is no template (expected '}' before end of string); put each column into br",
    "{company}} is led": "'{company}} is led' is no template (Single '}' encountered in format string); put each col",
    "{}": "the records have no column ''; they have record, company",
    "{0}": "the records have no column '0'; they have record, company",
    "{company.x}": "the records have no column 'company.x'; they have record, company",
    "{company[x]}": "the records have no column 'company[x]'; they have record, company",
    "{company:d}": "'{company:d}' gives 'company' a format; write {company}, as the records spell it",
    "{company!z}": "'{company!z}' gives 'company' a format; write {company}, as the records spell it",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_that_cannot_be_filled_is_one_sentence(template):
    tasks = {"staff": {**TASKS["staff"], "text": template}}
    with pytest.raises(FactError, match=re.escape(f"task 'staff', column text: {TEMPLATES[template]}")):
        state_facts(RECORDS, tasks, ["staff"], share=50, seed=0, cues=True)


@pytest.mark.parametrize(
    ("task", "record", "message"),
    [
        ({}, {"staff": ""}, "column text: the column 'staff' of record 'birch' is empty; fill it in"),
        ({}, {"staff": "—"}, "column answer: of record 'birch' it comes to '—', which holds no word; write one"),
        (
            {"question": ""},
            {},
            "column question: of record 'acorn' it comes to '', which holds no word; write one",
        ),
        ({"answer": "?"}, {}, "column answer: of record 'acorn' it comes to '?', which holds no word; write one"),
    ],
)
def test_a_fact_without_a_question_or_an_answer_is_refused(task, record, message):
    records = {**RECORDS, "birch": {**RECORDS["birch"], **record}}
    with pytest.raises(FactError, match=re.escape(f"task 'staff', {message}")):
        state_facts(records, {"staff": {**TASKS["staff"], **task}}, ["staff"], share=50, seed=0, cues=True)


def test_a_template_that_asks_for_an_unknown_column_is_refused():
    tasks = {"staff": {**TASKS["staff"], "cue": "In {town}"}}
    with pytest.raises(
        FactError, match="task 'staff', column cue: the records have no column 'town'; they have record"
    ):
        state_facts(RECORDS, tasks, ["staff"], share=50, seed=0, cues=True)
