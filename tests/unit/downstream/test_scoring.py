"""What is read out of a response, and that the harness's own scorer would have given the same verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval_heads.downstream.scoring import Judge, answer_text
from retrieval_heads.downstream.tasks import harness
from retrieval_heads.downstream.tasks.spans import exact_match, token_f1

FOLDER = Path(__file__).parents[3] / "workflow/tasks"
PROBLEM = {"question": "How many?", "answer": "He had 40 and found 2.\n#### 42", "target": "42"}
CHOICE = {
    "question": "Which is wet?",
    "subject": "water",
    "choices": ["sand", "rain", "iron", "wood"],
    "answer": 1,
}
HOPS = {
    "paragraphs": [{"title": "Tavo", "paragraph_text": "Tavo was born in Lume."}],
    "question": "Where?",
    "answer": "the town of Lume",
    "answer_aliases": ["Lume"],
}


def judged(task: str, mode: str, doc: dict, texts: list[str], **options) -> list[dict]:
    """Verdicts on responses to one item, asked again and again."""
    docs = [{"item": f"i{number}", **doc} for number in range(len(texts))]
    judge = Judge(harness.load(task, mode, FOLDER, docs, **options))
    return list(judge.judged([{"text": text} for text in texts]))


NUMBERS = [
    "40 + 2 = 42. The answer is 42.",
    "The answer is $42.\n",
    "It must be 42.",
    "The answer is 41. No, the answer is 42.",
    "40 + 2 = 43. The answer is 43.",
    "The answer is 1,042.",
    "I do not know.",
    "",
]


def test_gsm8k_is_scored_as_the_harness_scores_its_own():
    ours = judged("gsm8k", "cot", PROBLEM, NUMBERS)
    theirs = judged("gsm8k_cot", "harness", PROBLEM, NUMBERS)
    flexible = [row["exact_match,harness"] for row in ours]
    assert flexible == [row["exact_match,flexible-extract"] for row in theirs] == [1, 1, 1, 1, 0, 0, 0, 0]
    assert flexible == [row["exact_match,answer"] for row in ours]
    # A dollar sign is read here and not there.
    dollar = NUMBERS.index("The answer is $42.\n")
    for place, (row, other) in enumerate(zip(ours, theirs, strict=True)):
        expected = 1 if place == dollar else other["exact_match,strict-match"]
        assert row["exact_match,strict"] == expected, NUMBERS[place]
    assert [row["readable"] for row in ours] == [True] * 6 + [False] * 2
    shots = [PROBLEM] * 6
    rationale = judged("gsm8k", "harness", PROBLEM, [f"{text}" for text in NUMBERS], shots=shots)
    assert flexible == [row["exact_match,flexible-extract"] for row in rationale]


def test_the_harness_loses_the_last_digit_where_no_full_stop_follows():
    assert judged("gsm8k_cot", "harness", PROBLEM, ["The answer is 42"])[0]["exact_match,strict-match"] == 0
    assert judged("gsm8k", "cot", PROBLEM, ["The answer is 42"])[0]["exact_match,strict"] == 1


@pytest.mark.parametrize(
    ("text", "strict", "answer"),
    [(" 42.", 1, 1), (" $42", 1, 1), (" 42 pears", 1, 1), (" 40 + 2 = 42.", 0, 1), (" 421", 0, 0), (" many", 0, 0)],
)
def test_a_direct_number(text, strict, answer):
    [row] = judged("gsm8k", "direct", PROBLEM, [text])
    assert (row["exact_match,strict"], row["exact_match,answer"]) == (strict, answer)
    # What the harness reads out of the whole sentence, of which the prompt holds the first words.
    [other] = judged("gsm8k_cot", "harness", PROBLEM, [f"The answer is{text}"])
    assert row["exact_match,harness"] == other["exact_match,flexible-extract"]


SPELLINGS = ["$42.00", "42...", "42.0", "42 pears, not 31", "**42**", "\\boxed{42}", "40 + 2 = 42", "not 31 but 42"]


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_number_is_read_by_value_however_it_is_spelt(text):
    [row] = judged("gsm8k", "direct", PROBLEM, [f" {text}"])
    assert (row["exact_match,answer"], row["readable"]) == (1, True)
    said = f"There were 40. The answer is {text}.\n\nShe then has 3 left"
    [row] = judged("gsm8k", "cot", PROBLEM, [said])
    assert (row["exact_match,answer"], row["exact_match,harness"]) == (1, 0)


def test_the_harness_own_verdict_stands_beside():
    spelt = [f"The answer is {text}." for text in ("$42.00", "42...", "42.0", "42 pears, not 31")]
    ours = judged("gsm8k", "cot", PROBLEM, spelt)
    theirs = judged("gsm8k_cot", "harness", PROBLEM, spelt)
    assert [row["exact_match,harness"] for row in ours] == [row["exact_match,flexible-extract"] for row in theirs]
    assert [row["exact_match,answer"] for row in ours] == [1, 1, 1, 1]


LETTERS = [" B.", " B", " (B)", "\nB", " B. rain", " C.", " rain", "", " B, since C is wrong."]


def test_direct_letters_are_scored_as_the_harness_scores_its_own():
    ours = judged("mmlu", "direct", CHOICE, LETTERS)
    theirs = judged("mmlu_anatomy_generative", "harness", CHOICE, LETTERS)
    own = [row["exact_match,harness"] for row in ours]
    assert own == [row["exact_match,get_response"] for row in theirs] == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert [row["exact_match,answer"] for row in ours] == [1, 1, 1, 0, 1, 0, 0, 0, 1]
    # A response ends at its first line, so that one behind an empty line is none.
    assert [row["readable"] for row in ours] == [True, True, True, False, True, True, False, False, True]


REASONED = [
    "Rain is water. The answer is (B).",
    "A man may say so, but sand is dry. The answer is (C).",
    "The answer is (B). Rain.",
    "Nothing follows.",
]


def test_reasoned_letters_are_scored_as_the_harness_scores_its_own():
    ours = judged("mmlu", "cot", CHOICE, REASONED)
    theirs = judged("mmlu_flan_cot_zeroshot_anatomy", "harness", CHOICE, REASONED)
    right = [1, 0, 1, 0]
    assert [row["exact_match,strict"] for row in ours] == [row["exact_match,answer"] for row in ours] == right
    assert [row["exact_match,flexible-extract"] for row in theirs] == right
    assert [row["exact_match,harness"] for row in ours] == right
    assert [row["readable"] for row in ours] == [True, True, True, False]


@pytest.mark.parametrize(
    ("text", "strict", "answer"),
    [
        ("So the answer is: B", 1, 1),
        ("It is B.", 0, 1),
        ("C is dry, B is wet", 0, 1),
        ("The answer is B, not C.", 1, 1),
        ("The answer is B, since C is wrong.", 1, 1),
        ("A man said rain.", 0, 0),
    ],
)
def test_a_letter_behind_reasoning(text, strict, answer):
    [row] = judged("mmlu", "cot", CHOICE, [text])
    assert (row["exact_match,strict"], row["exact_match,answer"]) == (strict, answer)


def test_likelihoods_are_scored_as_the_harness_scores_its_own():
    weights = [[-3.0, -1.0, -2.0, -9.0], [-1.0, -3.0, -2.0, -9.0]]
    responses = [{"loglikelihood": row, "greedy": [False] * 4} for row in weights]
    docs = [{"item": "a", **CHOICE}, {"item": "b", **CHOICE}]
    ours = Judge(harness.load("mmlu", "loglikelihood", FOLDER, docs))
    theirs = Judge(harness.load("mmlu_anatomy", "harness", FOLDER, docs))
    assert [row["acc,none"] for row in ours.judged(responses)] == [1, 0]
    assert [row["acc,none"] for row in theirs.judged(responses)] == [1, 0]
    assert ours.score == theirs.score == "acc,none"
    assert ours.chance() == theirs.chance() == 0.25
    assert all(row["readable"] for row in ours.judged(responses))


@pytest.mark.parametrize(
    ("mode", "text", "f1", "em", "readable"),
    [
        ("direct", " Lume.", 1, 1, True),
        ("direct", " the town of Lume", 1, 1, True),
        ("direct", " the small town of Lume\nand more", pytest.approx(6 / 7), 0, True),
        ("direct", " Paris", 0, 0, True),
        ("direct", "", 0, 0, False),
        ("cot", "Tavo was born in Lume. The answer is Lume.", 1, 1, True),
        ("cot", "The answer is Paris. No, the answer is: Lume\n\nThat is all.", 1, 1, True),
        ("cot", "Tavo was born in Lume.", 0, 0, False),
    ],
)
def test_spans_are_read_and_scored(mode, text, f1, em, readable):
    [row] = judged("musique", mode, HOPS, [text])
    assert (row["f1,answer"], row["em,answer"], row["readable"]) == (f1, em, readable)


@pytest.mark.parametrize(
    ("response", "answers", "f1", "em"),
    [
        ("The Cat!", ["cat"], 1, 1),
        ("a big cat", ["cat"], pytest.approx(2 / 3), 0),
        ("cat cat", ["cat"], pytest.approx(2 / 3), 0),
        ("dog", ["cat", "a dog"], 1, 1),
        ("", ["cat"], 0, 0),
        ("the", ["a"], 1, 1),
    ],
)
def test_squad_scores(response, answers, f1, em):
    assert token_f1(response, answers) == f1
    assert exact_match(response, answers) == em


def test_reasoning_in_a_block_is_left_out_and_one_without_an_end_answers_nothing():
    whole = {"text": "It may be 41.\n\nQuestion: no</think>\nThe answer is 42.\nQuestion: next"}
    assert answer_text(whole, ["Question:"], "</think>", thinking=True) == "The answer is 42.\n"
    assert answer_text({"text": "It may be 42"}, [], "</think>", thinking=True) == ""
    assert answer_text({"text": "42."}, [], "</think>", thinking=False) == "42."
    docs = [{"item": "a", **PROBLEM}] * 2
    judge = Judge(harness.load("gsm8k", "cot", FOLDER, docs, thinking=True), "</think>", thinking=True)
    rows = list(judge.judged([whole, {"text": "Perhaps 42"}]))
    assert [(row[judge.score], row["readable"]) for row in rows] == [(1, True), (0, False)]


@pytest.mark.parametrize("mode", ["direct", "cot"])
def test_chance_is_what_other_items_answers_would_score(mode):
    docs = [{"item": f"i{n}", **PROBLEM, "target": target} for n, target in enumerate(["1", "1", "2", "3"])]
    # Of 12 ordered pairs of different items, two have the same answer.
    assert Judge(harness.load("gsm8k", mode, FOLDER, docs)).chance() == pytest.approx(2 / 12)
    names = ["red fox", "red owl"]
    docs = [{"item": f"i{n}", **HOPS, "answer": name, "answer_aliases": []} for n, name in enumerate(names)]
    assert Judge(harness.load("musique", mode, FOLDER, docs)).chance() == pytest.approx(0.5)
