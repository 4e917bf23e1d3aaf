"""Which words of a needle are its answer."""

from __future__ import annotations

import unicodedata

import pytest
from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerFast

from retrieval_heads.prompts.needles import Needle, NeedleError
from retrieval_heads.prompts.placement import cut_pieces
from unit.tokenizers_at_hand import TEMPLATE, tokenizer

TWICE = "After eleven chimes the ferry to Oxmere leaves from pier eleven."


@pytest.mark.parametrize(
    ("text", "answer", "cue", "before"),
    [
        ("The predicted colour of the sky is red.", "red", "", "sky is "),
        (TWICE, "eleven", "The ferry to Oxmere leaves from pier", "pier "),
        (TWICE, "eleven", "the ferry", "pier "),
        (TWICE, "eleven", "After", "After "),
        ("预测的红色是红色。", "红色", "预测的红色是", "色是"),
        ("Счёт семь: у причала семь.", "семь", "у причала", "причала "),
        ("कि क है", "क", "", "कि "),
    ],
)
def test_the_answer_is_whole_words_behind_the_cue(text, answer, cue, before):
    needle = Needle("x", text, "What?", answer, cue)
    start, end = needle.answer_span()
    assert text[start:end] == answer
    assert text[:start].endswith(before)


@pytest.mark.parametrize(
    "cue", ["", "The boat leaves from", "After eleven chimes the ferry to Oxmere leaves from pier eleven"]
)
def test_an_answer_that_stands_twice_needs_a_cue(cue):
    with pytest.raises(NeedleError, match="its answer 'eleven' stands 2 times in its text; give it a `cue`"):
        Needle("x", TWICE, "Which pier?", "eleven", cue).answer_span()


@pytest.mark.parametrize("name", ["sentencepiece-v1", "sentencepiece-v3", "tekken", "organism"])
def test_the_tokens_of_the_answer_are_those_of_the_whole_word(name):
    tok = tokenizer(name)
    for text, answer, cue in ((TWICE, "eleven", "the ferry"), ("The predicted colour is red.", "red", "")):
        pieces = cut_pieces(Needle("x", text, "What?", answer, cue), tok, TEMPLATE, chat=False)
        assert tok.decode(pieces.needle[slice(*pieces.answer)]).strip() == answer
        assert tok.decode(pieces.needle[pieces.answer[0] :]).strip() == f"{answer}."


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("makes", ["NFC", "NFD", "NFKC"])
def test_a_tokenizer_that_changes_the_form_keeps_the_answer(form, makes):
    backend = Tokenizer.from_str(tokenizer("tekken").backend_tokenizer.to_str())
    backend.normalizer = getattr(normalizers, makes)()
    tok = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")
    text = unicodedata.normalize(form, "Das Café heißt „Müßiggänger“ und ist rot.")
    answer = unicodedata.normalize(form, "Müßiggänger")
    pieces = cut_pieces(Needle("x", text, "Wie?", answer, ""), tok, TEMPLATE, chat=False)
    decoded = tok.decode(pieces.needle[slice(*pieces.answer)])
    assert unicodedata.normalize("NFC", decoded).strip(" „“") == "Müßiggänger"
