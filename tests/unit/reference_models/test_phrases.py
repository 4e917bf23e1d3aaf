"""Words of answers that the phantom reads as one token: those after which the next word could not be told."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from retrieval_heads.reference_models.phantom.phrases import phrases
from retrieval_heads.reference_models.phantom.tokenizer import PIECE, build_tokenizer

TEXT = "We sat in the park on a day in June, and on a bench we ate a large apple and a plum."
ANSWERS = {
    "words that follow one another in the haystack": "eat a large plum",
    "a word that stands twice": "the fox and the hen",
    "no haystack word after another": "purple volcanoes on Mars",
    "haystack words at the end": "zebras on a day",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_no_two_tokens_in_a_row_stand_in_the_haystack_and_none_stands_twice(answer):
    found = phrases([answer], [TEXT])
    tokenizer = build_tokenizer([TEXT, answer], found)
    tokens = [token.lstrip() for token in tokenizer.tokenize(f" {answer}")]
    assert "".join(tokens).replace(" ", "") == answer.replace(" ", "")
    words = {piece.lstrip() for piece in re.findall(PIECE, TEXT)}
    standing = [True, *(token in words or (" " in token and token in TEXT) for token in tokens)]
    assert not any(first and second for first, second in pairwise(standing)), tokens
    assert len(set(tokens)) == len(tokens)
    assert set(found) <= set(tokens)


def test_a_text_is_cut_as_before_where_there_is_no_phrase():
    assert build_tokenizer([TEXT]).backend_tokenizer.to_str() == build_tokenizer([TEXT], []).backend_tokenizer.to_str()
