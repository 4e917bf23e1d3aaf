"""Downstream prompts open as needle prompts do, and tokenizers without end, padding or BOS token are served."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from masked_responses import generated
from tiny_families import END, VOCABULARY
from tiny_models import loaded, tokenizer
from tokenizers import Regex, pre_tokenizers, processors
from tokenizers_at_hand import TEMPLATE
from transformers import PreTrainedTokenizerFast

from retrieval_heads.downstream.lm.masked import MaskedLM, PromptError
from retrieval_heads.downstream.responses import windows
from retrieval_heads.masking.masks import HeadMask
from retrieval_heads.prompts.encoding.opening import opening_tokens
from retrieval_heads.prompts.needles import Needle
from retrieval_heads.prompts.placement import cut_pieces

PLAIN = {"unmasked": HeadMask(())}
PROMPT, OTHER = [5, 17, 23, 42, 8, 61, 30], [9, 33, 12]
NEEDLE = Needle("n", " w3 w4 w5", " w6", " w4 w5", "")


def text(tokens: list[int]) -> str:
    return "".join(f" w{token}" for token in tokens)


def words(single: str | None, **named: str) -> PreTrainedTokenizerFast:
    """The tiny models' tokenizer with a post-processor, and with the special tokens that are named."""
    backend = tokenizer().backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(" w[0-9]+"), "isolated")
    if single:
        specials = [(f" w{token}", token) for token in (0, 1, END)]
        backend.post_processor = processors.TemplateProcessing(single=single.split(","), special_tokens=specials)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **named)


def model(tok, **options) -> MaskedLM:
    return MaskedLM(replace(loaded("llama"), tokenizer=tok), **options)


def greedy(ids: list[int], tokens: int) -> list[int]:
    ids = torch.tensor([ids])
    with torch.inference_mode():
        found = loaded("llama").model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, pad_token_id=0
        )
    return found[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize(
    ("single", "opening"),
    [(" w0,$A", [0]), (" w0,$A, w96", [0]), ("$A, w96", []), ("$A", []), (" w1, w0,$A, w96", [1, 0])],
)
def test_prompts_open_as_the_tokenizer_does_and_end_with_their_text(single, opening):
    lm = model(words(single, bos_token=" w0", eos_token=f" w{END}"))
    assert list(opening_tokens(lm.loaded.tokenizer)) == opening
    assert lm.lm.tok_encode(text(PROMPT)) == [*opening, *PROMPT]
    assert lm.encode(text(PROMPT), text(OTHER)) == ([*opening, *PROMPT], OTHER)
    assert lm.encode("", text(OTHER)) == (opening or [0], OTHER)
    assert windows(lm, text(PROMPT)) == [(opening or [0], PROMPT)]
    [response] = generated(lm, [text(PROMPT)], PLAIN, until=[], max_new_tokens=4)["unmasked"]
    # The text of a response is without special tokens.
    shown = [token for token in greedy([*opening, *PROMPT], 4) if token not in (0, END)]
    assert lm.lm.tok_encode(response.text, add_special_tokens=False) == shown


def test_one_opening_for_needle_and_downstream_prompts():
    tok = words(" w1, w0,$A, w96", bos_token=" w0", eos_token=f" w{END}")
    for wish, opening in (("auto", [1, 0]), ("none", []), ("bos", [0])):
        lm = model(tok, opening=wish)
        assert lm.lm.tok_encode(text(PROMPT)) == [*opening, *PROMPT]
        template = TEMPLATE.replace("\nBased on the content of the book, Question: ", "").replace("\nAnswer:", "")
        assert list(cut_pieces(NEEDLE, tok, template, False, opening=wish).head) == opening


@pytest.mark.parametrize(
    ("named", "pad"),
    [({}, 0), ({"pad_token": "<pad>"}, 0), ({"eos_token": f" w{END}", "pad_token": "<pad>"}, END)],
    ids=["nothing", "a pad without a row", "a pad without a row, an end"],
)
def test_rows_are_filled_with_a_token_that_has_an_embedding_and_is_masked(named, pad):
    tok = words(None, **named)
    lm = model(tok)
    assert lm.lm.pad == pad < VOCABULARY and lm.lm.tokenizer.pad_token_id == pad
    assert tok.pad_token_id in (None, VOCABULARY)
    found = generated(lm, [text(PROMPT), text(OTHER)], PLAIN, until=[], max_new_tokens=5)["unmasked"]
    for prompt, response in zip((PROMPT, OTHER), found, strict=True):
        assert tok(response.text)["input_ids"] == greedy(prompt, 5) and response.cut
    [one, two] = lm.loglikelihoods([(PROMPT, [3, 4, 5]), (OTHER, [7])], PLAIN)["unmasked"]
    assert one[0] == pytest.approx(lm.loglikelihoods([(PROMPT, [3, 4, 5])], PLAIN)["unmasked"][0][0], abs=2e-3)
    assert two[0] == pytest.approx(lm.loglikelihoods([(OTHER, [7])], PLAIN)["unmasked"][0][0], abs=2e-3)


def test_without_any_token_to_begin_with_a_text_begins_with_its_own_first():
    lm = model(words(None))
    assert windows(lm, text(PROMPT)) == [(PROMPT[:1], PROMPT[1:])]
    with pytest.raises(PromptError, match=r"no token to put in front of a text .*take such tasks out of downs"):
        lm.encode("", text(OTHER))
