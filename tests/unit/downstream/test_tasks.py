"""Forms and items of the downstream tasks: what is asked, and where it comes from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fetch_task import fetch_task
from sample_items import sample_items

from retrieval_heads.downstream.tasks import harness
from retrieval_heads.downstream.tasks.items import (
    TaskDataError,
    drawn,
    fitting,
    normalised,
    read_articles,
    read_items,
    write_items,
)
from retrieval_heads.downstream.tasks.sources import (
    PUBLISHED,
    modes_of,
)

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "workflow/tasks"
# A few rows of each in the published columns.
ITEMS = ROOT / "tests/task_items"
OWN = {task: modes_of(task, FOLDER) for task in (*PUBLISHED, "extract_qa")}


def items(task: str, count: int = 4) -> list[dict]:
    if task == "extract_qa":
        return read_articles(ROOT / "resources/extractqa")[:count]
    [file] = (ITEMS / task).glob("*.jsonl")
    return normalised(task, read_items(file))[:count]


def test_each_task_has_its_forms():
    assert OWN == {
        "mmlu": ["cot", "direct", "loglikelihood"],
        "gsm8k": ["cot", "direct"],
        "musique": ["cot", "direct"],
        "extract_qa": ["direct"],
    }
    assert modes_of("arc_easy", FOLDER) == ["harness"]


@pytest.mark.parametrize("task", ["mmlu", "gsm8k", "musique"])
def test_the_forms_differ_in_the_reasoning_alone(task):
    asked = {mode: harness.requests(harness.load(task, mode, FOLDER, items(task))) for mode in OWN[task]}
    for place in range(4):
        direct, cot = (asked[mode][place][0].args[0] for mode in ("direct", "cot"))
        assert direct.endswith("\nAnswer: The answer is")
        thinking = cot.replace("Think step by step. Then say", "Say").replace(
            "Let's think step by step.", "The answer is"
        )
        assert thinking == direct
        if task == "mmlu":
            assert asked["loglikelihood"][place][0].args[0] == direct


@pytest.mark.parametrize(("task", "mode"), [(task, mode) for task, modes in OWN.items() for mode in modes])
def test_every_form_has_a_version_and_a_main_metric(task, mode):
    form = harness.load(task, mode, FOLDER, items(task))
    assert form.VERSION >= 1
    metric, filter_name = form.config.metadata["score"].split(",")
    assert metric in {entry["metric"] for entry in form.config.metric_list}
    assert filter_name in {entry["name"] for entry in form.config.filter_list or [{"name": "none"}]}


def test_the_limit_of_the_config_replaces_that_of_the_file():
    form = harness.load("gsm8k", "cot", FOLDER, items("gsm8k"), max_new_tokens=7)
    assert harness.requests(form)[0][0].args[1]["max_gen_toks"] == 7
    assert harness.requests(harness.load("gsm8k", "cot", FOLDER, items("gsm8k")))[0][0].args[1]["max_gen_toks"] == 512


def test_a_model_that_thinks_in_a_block_is_given_no_first_words():
    form = harness.load("gsm8k", "cot", FOLDER, items("gsm8k"), thinking=True)
    assert harness.requests(form)[0][0].args[0].endswith("\nAnswer:")


def test_any_task_of_the_harness_runs_on_documents_at_hand():
    choices = {"text": ["sand", "rain", "iron"], "label": ["A", "B", "C"]}
    doc = {"id": "1", "item": "doc-0", "question": "What falls from clouds?", "choices": choices, "answerKey": "B"}
    form = harness.load("arc_easy", "harness", FOLDER, [doc])
    asked = [request.args for request in harness.requests(form)[0]]
    assert asked == [("Question: What falls from clouds?\nAnswer:", f" {text}") for text in choices["text"]]


@pytest.mark.parametrize("name", ["no_such_task", "mmlu"])
def test_a_name_that_is_no_single_task_of_the_harness_is_refused(name):
    with pytest.raises(harness.TaskError, match=rf"downstream\.tasks: '{name}' is neither"):
        harness.load(name, "harness", FOLDER, [])


def test_chat_templates_get_the_question_and_the_first_words():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "resources/models/organism")
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% if not loop.last %}[/]{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}[/][assistant]{% if enable_thinking %}<think>{% endif %}{% endif %}"
    )
    form = harness.load("gsm8k", "direct", FOLDER, items("gsm8k"))
    asked = harness.requests(form, harness.chat_template(tokenizer, thinking=False))[0][0].args[0]
    assert re.fullmatch(r"\[user\]Question: .*\nAnswer:\[/\]\[assistant\]The answer is", asked, flags=re.S)
    form = harness.load("gsm8k", "cot", FOLDER, items("gsm8k"), thinking=True)
    asked = harness.requests(form, harness.chat_template(tokenizer, thinking=True))[0][0].args[0]
    assert asked.endswith("\nAnswer:[/][assistant]<think>")


def test_items_of_published_rows():
    row = {"question": "How many?", "answer": "Two and three are <<2+3=5>>5.\nSo\nit is.\n#### 1,005"}
    assert normalised("gsm8k", [row])[0]["target"] == "1005"
    hops = {"id": "2hop__1", "paragraphs": [], "question": "Who?", "answer": "Miquette", "answer_aliases": []}
    columns = {name: value for name, value in hops.items() if name != "id"}
    assert normalised("musique", [{**hops, "answerable": True}]) == [{"item": "2hop__1", **columns}]
    assert normalised("musique", [{**hops, "answerable": False}]) == []


@pytest.mark.parametrize(
    ("gold", "target"),
    [("$1,234.00", "1234"), ("-7 degrees", "-7"), ("\u22127", "-7"), ("5%", "5"), ("9 half-hours", "9")],
)
def test_a_gold_number_may_have_currency_separators_and_a_unit(gold, target):
    assert normalised("gsm8k", [{"question": "How many?", "answer": f"So.\n#### {gold}"}])[0]["target"] == target


@pytest.mark.parametrize(
    "gold", ["five", "3 or 4", "10 - 5", "1/2", "5 1/2", "10:30", "1e5", "1 #### 29", "- 5", "1.5.2", "½"]
)
def test_a_gold_answer_that_is_not_one_number_is_refused(gold):
    with pytest.raises(TaskDataError, match=f"row 0 .* ends with '{gold}', which is no number"):
        normalised("gsm8k", [{"question": "How many?", "answer": f"So.\n#### {gold}"}])


@pytest.mark.parametrize(
    ("task", "rows", "message"),
    [
        (
            "gsm8k",
            [{"question": "How many?", "answer": "five"}],
            "gsm8k: row 0 has an 'answer' that does not end with '#### ",
        ),
        ("gsm8k", [{"question": "How many?"}], "gsm8k: row 0 has no column 'answer'; it has ['question']"),
        ("mmlu", [{"question": "", "subject": "", "choices": [], "answer": 0}], "mmlu: row 0 must have four choices"),
        (
            "musique",
            read_items(ITEMS / "musique/validation.jsonl")[:1] * 2,
            "comes twice; give every row an id of its own",
        ),
    ],
)
def test_rows_that_break_their_form_are_refused(task, rows, message):
    with pytest.raises(TaskDataError, match=re.escape(message)):
        normalised(task, rows)


def test_the_projects_articles_hold_their_answers():
    found = read_articles(ROOT / "resources/extractqa")
    assert len(found) == 36
    assert all(item["answer"] in item["article"] for item in found)


@pytest.mark.parametrize(
    ("line", "message"),
    [("town\tWho?\tnobody here\t", "the answer 'nobody here' does not stand in"), ("gone\tWho?\tme\t", "which is not")],
)
def test_articles_without_their_answers_are_refused(tmp_path, line, message):
    (tmp_path / "town.txt").write_text("A town.")
    (tmp_path / "questions.tsv").write_text(f"article\tquestion\tanswer\taliases\n{line}\n")
    with pytest.raises(TaskDataError, match=message):
        read_articles(tmp_path)


def test_the_draw_follows_its_seed_and_keeps_the_order(tmp_path):
    pool = [{"item": f"test-{number}", "text": "x" * number} for number in range(50)]
    chosen = drawn(pool, 10, seed=1)
    numbers = [pool.index(item) for item in chosen]
    assert len(set(numbers)) == 10
    assert numbers == sorted(numbers)
    assert chosen == drawn(pool, 10, seed=1) != drawn(pool, 10, seed=2)
    assert drawn(pool, 0, seed=1) == drawn(pool, 99, seed=1) == pool
    longest = len(json.dumps(pool[20]))
    assert fitting(pool, longest) == pool[:21]
    assert fitting(pool, 0) == pool
    write_items(tmp_path / "items.jsonl", chosen)
    assert read_items(tmp_path / "items.jsonl") == chosen


def test_a_fetched_file_has_a_checksum_that_is_checked(tmp_path):
    settings = {"items": 3, "seed": 0, "longest": 0}
    fetch_task("gsm8k", {"kind": "path", "path": str(ITEMS / "gsm8k"), "split": "test"}, tmp_path)
    files = [str(tmp_path / name) for name in ("all.jsonl", "source.json")]
    assert json.loads((tmp_path / "source.json").read_text())["items"] == 5
    sample_items(*files, settings, str(tmp_path / "items.jsonl"))
    assert len(read_items(tmp_path / "items.jsonl")) == 3
    (tmp_path / "all.jsonl").write_text((tmp_path / "all.jsonl").read_text().replace("Mira", "Vera", 1))
    with pytest.raises(TaskDataError, match=r"all\.jsonl' is not the file that was fetched; remove it"):
        sample_items(*files, settings, str(tmp_path / "items.jsonl"))


def test_items_may_hold_any_character_but_a_line_feed_ends_a_line(tmp_path):
    odd = [
        {"item": f"i{number}", "question": f"a{mark}b"}
        for number, mark in enumerate("\x85\u2028\u2029\x0b\x0c\x1c\r\n")
    ]
    write_items(tmp_path / "items.jsonl", odd)
    assert read_items(tmp_path / "items.jsonl") == odd


def test_articles_are_searched_without_line_breaks_and_case(tmp_path):
    (tmp_path / "town.txt").write_bytes("\ufeffThe old\r\nMill that stands.".encode())
    table = tmp_path / "questions.tsv"
    table.write_text("\ufeffarticle\tquestion\tanswer\taliases\ntown\tWhat?\told mill\t\n")
    [item] = read_articles(tmp_path)
    assert (item["article"], item["answer"]) == ("The old\nMill that stands.", "old mill")
    table.write_text("article\tquestion\tanswer\taliases\ntown\tWhat?\that\t\n")
    with pytest.raises(TaskDataError, match="the answer 'hat' does not stand in"):
        read_articles(tmp_path)
