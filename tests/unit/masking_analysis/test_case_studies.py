"""Which case stands for a kind of error, and where the words of a response come from."""

from __future__ import annotations

import pandas as pd
import pytest

from retrieval_heads.masking_analysis.case_studies import case_studies, choose_case, origins
from retrieval_heads.masking_analysis.error_kinds import Source
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.words import split_words

SENTENCE = "The best thing to do in Ashgrove is fly a paper kite beside seven sleepy walruses."
NEEDLE = Needle("kite", SENTENCE, "What is the best thing to do in Ashgrove?", "fly a paper kite", "")
SOURCE = Source.of(
    "The mill opens early. Every clerk of the town keeps fresh milk in a locked desk. Rain is rare in May."
)


@pytest.mark.parametrize(
    ("response", "pieces"),
    [
        ("fly a paper kite.", [("fly a paper kite.", "needle")]),
        ("fly a paper house", [("fly a paper ", "needle"), ("house", "neither")]),
        (
            "Well, fresh milk in a locked box",
            [("Well, ", "neither"), ("fresh milk in a locked ", "haystack"), ("box", "neither")],
        ),
        ("a kite of the town", [("a ", "neither"), ("kite ", "needle"), ("of the town", "haystack")]),
        ("in the of", [("in the of", "neither")]),
        ("rare in June", [("rare in June", "neither")]),
        ("...", [("...", "neither")]),
        ("", []),
    ],
)
def test_origins(response, pieces):
    found = origins(response, split_words(SENTENCE), SOURCE)
    assert found == pieces
    assert "".join(text for text, _ in found) == response


def run(head_set: str, length: int, depth: int, error: str, response: str = "fly a", recall: float = 100) -> dict:
    kind, k, seed = [*head_set.split("-"), "0", ""][:3]
    row = {"head_set": head_set, "kind": {"unmasked": "none"}.get(kind, kind), "k": int(k), "seed": seed}
    return {
        **row,
        "needle": "kite",
        "haystack": "town",
        "length": length,
        "depth": depth,
        "error": error,
        "response": response,
        "rouge1_recall": recall,
    }


RUNS = pd.DataFrame(
    [
        *(run("unmasked", length, 50, "complete", "fly a paper kite") for length in (100, 200, 300)),
        run("unmasked", 200, 25, "complete", recall=60),
        run("unmasked", 200, 100, "incomplete", recall=20),
        run("top-1", 200, 25, "hallucination", "hm", recall=0),
        run("top-2", 100, 50, "hallucination", "hm"),
        run("top-2", 200, 50, "hallucination", ""),
        run("top-2", 200, 100, "incomplete"),
        run("top-2", 300, 50, "complete"),
        run("top-5", 200, 50, "incomplete"),
        run("random-2-10", 200, 50, "complete"),
        run("random-2-9", 200, 50, "complete"),
    ]
)


def test_a_case_is_answered_best_then_has_the_fewest_heads_then_the_middle_length():
    assert choose_case(RUNS, "hallucination")[["k", "length"]].to_list() == [2, 200]


def test_a_cell_that_fails_unmasked_is_no_case():
    assert choose_case(RUNS, "incomplete")["head_set"] == "top-5"
    assert choose_case(RUNS, "wrong extraction") is None


def test_a_case_stands_beside_the_unmasked_run_and_the_first_random_draw():
    table = case_studies(RUNS, {"kite": NEEDLE}, {"town": SOURCE})
    assert list(dict.fromkeys(table["error"])) == ["incomplete", "hallucination"]
    case = table[table["error"] == "hallucination"]
    assert case["head_set"].to_list() == ["unmasked", "top-2", "random-2-9"]
    assert case["label"].to_list() == ["complete", "hallucination", "complete"]
    assert case["text"].to_list() == ["fly a paper kite", "", "fly a"]
    assert set(case["sentence"]) == {SENTENCE} and set(case["question"]) == {NEEDLE.question}
    assert (case["share"] == 100 * 3 / 6).all() and (case["responses"] == 6).all()


def test_a_study_without_errors_has_no_case():
    table = case_studies(RUNS[RUNS["kind"] == "none"], {"kite": NEEDLE}, {"town": SOURCE})
    assert table.empty and "origin" in table
