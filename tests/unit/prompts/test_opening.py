"""Prompts of every kind open as the tokenizer opens a text, nothing stands behind them, and text stays text."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from tokenizers_at_hand import ROOT, TEMPLATE, tokenizer
from transformers import AddedToken, PreTrainedTokenizerFast

from retrieval_heads.prompts.encoding.opening import OpeningError, encode_prompt, opening_tokens
from retrieval_heads.prompts.encoding.plain_text import SpecialTokenError, encode_plain
from retrieval_heads.prompts.haystacks import HaystackError, tokenize
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import cut_pieces

NEEDLE = read_needles(ROOT / "resources/needles.tsv")["kite"]
REAL = ("sentencepiece-v1", "sentencepiece-v3", "tekken", "organism")
TEXT = "The ferry leaves at noon."
WISHES = ("auto", "none", "bos")


def closing(name: str, single: str):
    """A real tokenizer whose post-processor is `single`, as fine-tuning or another family leaves it."""
    changed = copy.deepcopy(tokenizer(name))
    backend = changed.backend_tokenizer
    specials = [(token, backend.token_to_id(token)) for token in ("<s>", "</s>") if token in single]
    backend.post_processor = processors.TemplateProcessing(single=single, special_tokens=specials)
    # Llama's class makes its post-processor anew from these.
    changed._add_bos_token = changed._add_eos_token = None
    return changed


# Text between the tokens that a post-processor adds -> the opening.
KINDS = {
    "<s> $A": ["<s>"],
    "<s> $A </s>": ["<s>"],
    "$A </s>": [],
    "$A": [],
    "</s> <s> $A": ["</s>", "<s>"],
    "</s> <s> $A </s> </s>": ["</s>", "<s>"],
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(("single", "expected"), KINDS.items(), ids=KINDS)
def test_what_the_tokenizer_puts_in_front_opens_every_prompt_and_nothing_closes_it(name, single, expected):
    if name == "organism":
        single = single.replace("<s>", "\u0001").replace("</s>", "\u0002")
        changed = copy.deepcopy(tokenizer(name))
        bos, eos = changed.bos_token, changed.eos_token
        specials = [(bos, changed.bos_token_id), (eos, changed.eos_token_id)]
        single = single.replace("\u0001", bos).replace("\u0002", eos)
        expected = [{"<s>": bos, "</s>": eos}[token] for token in expected]
        changed.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=specials)
    else:
        changed = closing(name, single)
    wanted = changed.convert_tokens_to_ids(expected)
    bare = changed(TEXT, add_special_tokens=False)["input_ids"]
    assert list(opening_tokens(changed)) == wanted
    assert encode_prompt(changed, TEXT) == [*wanted, *bare]
    pieces = cut_pieces(NEEDLE, changed, TEMPLATE, chat=False)
    assert list(pieces.head) == wanted
    assert changed.eos_token_id not in pieces.tail and changed.eos_token_id not in pieces.needle


def test_a_wish_goes_before_the_tokenizer():
    tok = tokenizer("sentencepiece-v1")
    silent = closing("sentencepiece-v1", "$A")
    assert opening_tokens(tok, "none") == ()
    assert opening_tokens(silent, "bos") == (tok.bos_token_id,) and opening_tokens(silent) == ()
    assert cut_pieces(NEEDLE, silent, TEMPLATE, False, opening="bos").head == (tok.bos_token_id,)
    silent.bos_token = None
    with pytest.raises(OpeningError, match=r"models.*.opening: the tokenizer of '.*' names no BOS token; use auto or"):
        opening_tokens(silent, "bos")


def test_a_chat_opens_as_its_template_does_unless_wished_otherwise():
    tok = copy.deepcopy(tokenizer("organism"))
    tok.chat_template = "{{ bos_token }}{{ messages[0]['content'] }}"
    for template, written in ((tok.chat_template, 1), ("{{ messages[0]['content'] }}", 0)):
        tok.chat_template = template
        heads = {wish: cut_pieces(NEEDLE, tok, "Read {context} {question}", True, opening=wish).head for wish in WISHES}
        counts = {wish: head.count(tok.bos_token_id) for wish, head in heads.items()}
        assert counts == {"auto": written, "none": 0, "bos": 1}
        assert heads["bos"][0] == tok.bos_token_id and heads["bos"][1:] == heads["none"]


@pytest.mark.parametrize("name", REAL)
def test_a_haystack_that_spells_a_special_token_is_text(name):
    tok = tokenizer(name)
    for token in (tok.eos_token, tok.bos_token):
        text = f"One sentence. Then {token} stands here,{token}and there. The end."
        ids = tokenize("h", text, tok).ids.tolist()
        assert tok.convert_tokens_to_ids(token) not in ids
        assert tok.decode(ids).strip() == text
        assert tok.convert_tokens_to_ids(token) in tok(text, add_special_tokens=False)["input_ids"]


def test_special_tokens_of_every_kind_are_split_or_refused_with_their_place():
    tok = copy.deepcopy(tokenizer("tekken"))
    tok.add_tokens([AddedToken("<|im_end|>", special=True), AddedToken("<think>", special=False), AddedToken("   ")])
    assert tokenize("h", "a <|im_end|> b", tok).ids.tolist().count(tok.convert_tokens_to_ids("<|im_end|>")) == 0
    # White space that a vocabulary holds is text, and so is a tag that no template writes.
    assert tok.convert_tokens_to_ids("   ") in encode_plain(tok, "a   b")["input_ids"]
    encode_plain(tok, "a <think> b")
    tok.chat_template = "{{ messages[0]['content'] }}<think>"
    with pytest.raises(
        HaystackError, match=r"haystack 'book', line 2, '.*<think>.*': the tokenizer of '.*' reads '<th"
    ):
        tokenize("book", "One.\nTwo <think> three.", tok)
    with pytest.raises(SpecialTokenError, match="line 1"):
        encode_prompt(tok, "a <think> b")
    asked = f"{NEEDLE.question} <think>"
    for chat in (False, True):
        with pytest.raises(ValueError, match=r"needle 'kite', line [12], "):
            cut_pieces(replace(NEEDLE, question=asked), tok, TEMPLATE, chat)


def test_a_vocabulary_that_cannot_split_a_token_refuses_the_text():
    backend = Tokenizer(models.WordLevel({"one": 0, "two": 1, "</s>": 2, "a": 3, "?": 4}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    assert tokenize("h", "one two three", words).ids.tolist() == [0, 1, 4]
    with pytest.raises(HaystackError, match=r"haystack 'h', line 1, .*reads '</s>' there .*take it out of the text"):
        tokenize("h", "one </s> two", words)
