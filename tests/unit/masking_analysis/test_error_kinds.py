"""Every kind of error by the rule that is written down, on responses whose kind is plain to see."""

from __future__ import annotations

import pandas as pd
import pytest

from retrieval_heads.masking_analysis.error_kinds import Source, label, label_runs

HAYSTACK = "The mill opens early. Every clerk of the town keeps fresh milk in a locked desk. Rain is rare in May."
SOURCE = Source.of(HAYSTACK)
ANSWER = "fly a paper kite beside seven sleepy walruses"


@pytest.mark.parametrize(
    ("response", "passed", "error"),
    [
        ("fly a paper kite beside seven sleepy walruses.", True, "complete"),
        ("fly a paper bird.", False, "incomplete"),
        ("keeps fresh milk in a locked desk", False, "wrong extraction"),
        ("fly to where every clerk of the town lives", False, "wrong extraction"),
        ("paper kite and seven walruses, rain is rare", False, "incomplete"),
        ("visit the silver lighthouse", False, "hallucination"),
        ("a the in of", False, "hallucination"),
        ("", False, "hallucination"),
    ],
)
def test_kinds(response, passed, error):
    assert label(response, ANSWER, passed, SOURCE)["error"] == error


def test_the_place_of_a_wrong_extraction():
    found = label("I think: fresh milk, in a LOCKED desk!", ANSWER, False, SOURCE)
    assert found["passage"] == 6
    words = HAYSTACK.lower().replace(".", "").split()
    assert found["place"] == pytest.approx(100 * words.index("fresh") / len(words))


def test_a_passage_at_the_end_of_the_haystack_ends_there():
    assert SOURCE.longest_passage(["rare", "in", "may", "the"]) == (3, 18)


def test_only_wrong_extractions_have_a_place():
    assert label("fly", ANSWER, False, SOURCE)["place"] is None


def test_runs_keep_their_columns():
    runs = pd.DataFrame(
        {
            "head_set": ["unmasked", "top-5"],
            "needle": "kite",
            "haystack": "town",
            "response": [ANSWER, "the silver lighthouse"],
            "passed": [True, False],
        }
    )
    labelled = label_runs(runs, {"kite": ANSWER}, {"town": SOURCE})
    assert list(labelled["error"]) == ["complete", "hallucination"]
    assert list(labelled.columns[:5]) == list(runs.columns)
