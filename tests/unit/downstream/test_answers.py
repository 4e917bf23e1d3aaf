"""Which number or letter a response gives."""

from __future__ import annotations

import pytest

from retrieval_heads.downstream.tasks.answers import letter, number


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("It is 1,005.50 dollars", "1005.5"),
        ("The answer is \u22127", "-7"),
        ("The answer is unclear. It may be 5", "5"),
        ("The answer is 5. Is the answer is right? Yes", "5"),
        ("24-5", "5"),
        ("none", "[invalid]"),
        ("0.00", "0"),
        ("The answer is 29 = 20 + 9.", "29"),
        ("The answer is 29 minutes = 0.5 hours", "29"),
        ("The answer is $29 (= 2900 cents)", "29"),
        ("The answer is 29 where x = 3", "29"),
        ("The answer is 29 with 29*2 = 58", "29"),
        ("The answer is 20 + 9 = 29 minutes = 0.5 hours", "29"),
        ("The answer is 30 -1 = 29", "29"),
        ("The answer is 40 - 12 + 1 = 28 + 1 = 29", "29"),
        ("The answer is \\frac{58}{2} = 29", "29"),
        ("The answer is neither 30 nor 31 but 29", "29"),
        ("The answer is never 31; it is 29.", "29"),
    ],
)
def test_numbers_that_are_read(text, read):
    assert number(text) == read


BEHIND_THE_CHOICE = (
    "because B is wrong.",
    "since D is dry.",
    "as B, C and D are wrong",
    "is right, B is wrong",
    "rather than B",
    "while B is dry",
    "and not B",
    "or B",
    "i.e. Vitamin D",
)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("The answer is B, since C is wrong.", "B"),
        ("The answer is rain (B).", "B"),
        ("The answer is (b)", "B"),
        ("The answer is **B**", "B"),
        ("The answer is not C but B", "B"),
        ("The answer is A man.", "[invalid]"),
        ("C is dry, B is wet", "B"),
        ("The answer is C. No, the answer is B.", "B"),
        *((f"The answer is A {rest}", "A") for rest in BEHIND_THE_CHOICE),
        ("The answer is A mutation that B shows", "B"),
        ("A train goes to B", "B"),
        ("The answer is neither B nor D, but C", "C"),
        ("The answer isn't (B), it is C", "C"),
        ("The answer is 'C'", "C"),
        ("C's colour is that of B", "B"),
    ],
)
def test_letters_that_are_read(text, read):
    assert letter(text) == read
