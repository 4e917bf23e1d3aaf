"""What stands around the haystack: it opens as a text does, nothing of the way it was encoded stays in it."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers_at_hand import ROOT, tokenizer
from transformers import PreTrainedTokenizerFast

from retrieval_heads.prompts.cells import PlacementError
from retrieval_heads.prompts.encoding.opening import encode_prompt
from retrieval_heads.prompts.haystacks import HaystackError, encode_inner, tokenize
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import cut_pieces
from retrieval_heads.prompts.template import template_faults

NEEDLE = read_needles(ROOT / "resources/needles.tsv")["kite"]
CHAT = "{{ bos_token }}{{ messages[0]['content'] }}{{ eos_token }}"
ASK = "{context}\n{question}{cue}"


@pytest.mark.parametrize("name", ["sentencepiece-v1", "sentencepiece-v3", "tekken", "organism"])
@pytest.mark.parametrize("head", ["the text is: ", "Read this.\n", "# Book ", "说明："])
def test_a_prompt_with_words_in_front_opens_as_the_tokenizer_opens_a_text(name, head):
    tok = tokenizer(name)
    found = list(cut_pieces(NEEDLE, tok, head + ASK, chat=False).head)
    assert found == encode_prompt(tok, head)
    assert found == tok(head)["input_ids"][: len(found)]


def joining(*joined: str) -> PreTrainedTokenizerFast:
    """A vocabulary that merges over spaces: each of `joined` is one token."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    merges = [pair for text in joined for pair in ((text[:1], text[1:2]), (text[:2], text[2:]))]
    tokens = dict.fromkeys([*sorted(alphabet), *("".join(pair) for pair in merges)])
    backend = Tokenizer(models.BPE({token: place for place, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def test_no_token_holds_more_than_the_text_where_a_vocabulary_merges_over_spaces():
    tok = joining("aĠT")
    assert tok.convert_ids_to_tokens(tok("a The")["input_ids"])[0] == "aĠT"
    assert tok.decode(encode_inner(tok, "The mill opens.")[0]) == " The mill opens."
    greedy = joining(*(f"{letter}ĠT" for letter in "aqxKZ"))
    assert greedy.decode(tokenize("h", "mill of all.", greedy).ids) == "mill of all."
    with pytest.raises(
        HaystackError, match=r"haystack 'h', 'The mill': the tokenizer of '.*' makes one token of its f"
    ):
        tokenize("h", "The mill", greedy)


def test_markup_is_markup_where_a_folder_splits_special_tokens():
    plain, split = copy.deepcopy(tokenizer("organism")), copy.deepcopy(tokenizer("organism"))
    plain.chat_template = split.chat_template = CHAT
    split.split_special_tokens = True
    pieces = cut_pieces(NEEDLE, split, ASK, chat=True)
    assert (pieces.head[0], pieces.tail.count(split.eos_token_id)) == (split.bos_token_id, 1)
    assert pieces == cut_pieces(NEEDLE, plain, ASK, chat=True)
    assert encode_prompt(split, f"{split.bos_token}Hi", chat=True)[0] == split.bos_token_id


def test_a_cue_that_spells_a_control_token_never_becomes_one():
    tok = copy.deepcopy(tokenizer("organism"))
    tok.chat_template = CHAT
    spelt = replace(NEEDLE, cue=f"{tok.eos_token} the")
    assert tok.eos_token_id not in cut_pieces(spelt, tok, ASK, chat=False).tail
    with pytest.raises(PlacementError, match=r"needle 'kite', line 1, '.* the': the tokenizer of '.*' reads "):
        cut_pieces(spelt, tok, ASK, chat=True)


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("name", ["{context}", "{question}", "{cue}", "{place}"])
def test_what_a_question_spells_in_braces_is_text(name, chat):
    tok = copy.deepcopy(tokenizer("organism"))
    tok.chat_template = CHAT
    asked = replace(NEEDLE, question=f"What does {name} mean?")
    assert f"\nWhat does {name} mean?" in tok.decode(cut_pieces(asked, tok, ASK, chat).tail)


FAULTS = {
    "{context}{context}{question}": r"it holds {context} 2 times; write it once",
    "{context}{question}{cues}": r"it holds {cues}, which nothing fills in; write {context}, {question} or {cue}, or ",
    "{cue}{context}{question}": r"{cue} opens the answer, so it stands once and last; move it to the end",
    "{context}{question}{cue}{cue}": r"{cue} opens the answer, so it stands once and last; move it to the end",
}


@pytest.mark.parametrize(("template", "message"), FAULTS.items(), ids=range(len(FAULTS)))
def test_a_template_with_a_wrong_or_misplaced_name_is_refused_with_its_key(template, message):
    good = "{question} {context} {question} as \\boxed{}"
    models = {"mine": {"template": template}, "other": {}}
    [fault] = template_faults({"prompt": {"template": good}, "models": models})
    assert fault.startswith(f"models.mine.template: {message}")
    [fault] = template_faults({"prompt": {"template": template}, "models": {}})
    assert fault.startswith(f"prompt.template: {message}")
    with pytest.raises(PlacementError) as raised:
        cut_pieces(NEEDLE, tokenizer("organism"), template, chat=False)
    assert str(raised.value) == fault
