"""Placement on real tokenizers: the span is the answer, the budget is exact, the needle stands at a sentence end."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval_heads.prompts.cells import PlacementError
from retrieval_heads.prompts.haystacks import Haystack, load, save, tokenize
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import Grid, assemble, cut_pieces, insertion_point, place, place_grid, prepare
from unit.tokenizers_at_hand import NAMES, ROOT, TEMPLATE, tokenizer

NEEDLES = read_needles(ROOT / "resources/needles.tsv")
GRID = Grid((300, 700), (0, 33, 100), 128, 50, False)


@cache
def haystack(tokenizer_name: str, name: str = "town") -> Haystack:
    text = (ROOT / f"resources/haystacks/{name}.txt").read_text(encoding="utf-8")
    return tokenize(name, text, tokenizer(tokenizer_name))


@cache
def pieces(tokenizer_name: str, needle: str):
    return cut_pieces(NEEDLES[needle], tokenizer(tokenizer_name), TEMPLATE, chat=False)


@settings(max_examples=60)
@given(
    name=st.sampled_from(NAMES),
    needle=st.sampled_from(sorted(NEEDLES)),
    length=st.integers(250, 4000),
    depth=st.integers(0, 100),
)
def test_placed_prompt(name, needle, length, depth):
    tok, straw = tokenizer(name), haystack(name)
    context = length - 128
    prompt = place(needle, straw, pieces(name, needle), length, depth, context)
    cell = prompt.cell
    assert len(prompt.ids) == cell.prompt_tokens
    assert cell.question_start == context
    assert tok.decode(prompt.ids[cell.answer_start : cell.answer_end]).strip() == NEEDLES[needle].answer
    assert prompt.ids.count(tok.bos_token_id) == 1
    assert prompt.ids[0] == tok.bos_token_id
    text = tok.decode(prompt.ids, skip_special_tokens=True)
    assert NEEDLES[needle].text in text
    assert text.endswith(f"Answer: {NEEDLES[needle].cue}")
    before = tok.decode(prompt.ids[1 : cell.needle_start]).rstrip()
    if 0 < depth < 100:
        assert before == "" or before.endswith((".", "!", "?"))
    if depth == 0:
        assert cell.needle_start == 1
    if depth == 100:
        assert cell.needle_end == cell.question_start


@pytest.mark.parametrize("name", NAMES)
def test_haystack_survives_tokenisation(name):
    straw = haystack(name)
    text = (ROOT / "resources/haystacks/town.txt").read_text(encoding="utf-8").strip()
    assert tokenizer(name).decode(straw.ids).strip() == text
    for end in straw.sentence_ends[:50]:
        assert tokenizer(name).decode(straw.ids[:end]).rstrip().endswith(".")


def test_insertion_point_is_the_last_sentence_end_at_or_before_the_depth():
    straw = Haystack("x", np.ones(100, dtype=int), np.array([10, 40, 55, 90]))
    assert insertion_point(straw, 100, 54) == 40
    assert insertion_point(straw, 100, 55) == 55
    assert insertion_point(straw, 100, 9) == 0
    assert insertion_point(straw, 80, 100) == 80


def test_assembled_prompts_are_the_placed_ones(tmp_path):
    parts = pieces("organism", "kite")
    straw = haystack("organism")
    prompts = list(place_grid("kite", straw, parts, GRID))
    save(tmp_path / "h.npz", {"town": straw})
    rows = [asdict(prompt.cell) for prompt in prompts]
    assert assemble(rows, load(tmp_path / "h.npz"), {"kite": asdict(parts)}) == prompts
    moved = [{**rows[0], "answer_start": rows[0]["answer_start"] + 1}]
    with pytest.raises(PlacementError, match="cell kite_300_0"):
        assemble(moved, {"town": straw}, {"kite": asdict(parts)})


def test_a_short_haystack_says_by_how_many_tokens():
    straw = haystack("organism")
    short = replace(straw, ids=straw.ids[:500], sentence_ends=straw.sentence_ends[straw.sentence_ends <= 500])
    parts = pieces("organism", "kite")
    missing = 700 - 128 - len(parts.head) - len(parts.needle) - 500
    with pytest.raises(PlacementError, match=f"'town' is {missing} tokens too short .* haystacks.repeat"):
        prepare("kite", short, parts, GRID, None)
    longer = prepare("kite", short, parts, replace(GRID, repeat_haystack=True), None)
    assert len(longer.ids) >= 500 + missing
    assert len(list(place_grid("kite", longer, parts, GRID))) == 6


@pytest.mark.parametrize(
    ("change", "window", "message"),
    [
        ({"lengths": (300, 9000)}, 2048, "9000 is beyond the model's window of 2048 tokens"),
        ({"reserve_tokens": 60}, None, "prompt.reserve_tokens: 60 is too few .* set it to"),
        ({"lengths": (140,)}, None, "140 leaves no room for needle 'kite'; the least is"),
    ],
)
def test_impossible_grids_name_the_key_and_the_remedy(change, window, message):
    with pytest.raises(PlacementError, match=message):
        prepare("kite", haystack("organism"), pieces("organism", "kite"), replace(GRID, **change), window)


def test_an_answer_that_the_tokenizer_cannot_keep_is_refused():
    strange = replace(NEEDLES["kite"], text="The best is an unheard zyxxyz.", answer="zyxxyz")
    with pytest.raises(PlacementError, match="'zyxxyz' but its tokens decode to"):
        cut_pieces(strange, tokenizer("phantom"), TEMPLATE, chat=False)


def test_chat_template_surrounds_the_context():
    tok = tokenizer("organism")
    tok.chat_template = "<s>[user]{{ messages[0]['content'] }}[model]"
    try:
        parts = cut_pieces(NEEDLES["kite"], tok, "<book>{context}</book>\n{question}{cue}", chat=True)
        bare = cut_pieces(NEEDLES["kite"], tok, "<book>{context}</book>\n{question}", chat=True)
    finally:
        tok.chat_template = None
    assert tok.decode(parts.head) == "<s>[user]<book>"
    assert tok.decode(parts.tail).startswith("</book>\nWhat is the best")
    assert tok.decode(parts.tail).endswith("[model]The best thing to do in Ashgrove is")
    assert tok.decode(bare.tail).endswith("[model]"), "a template without a cue asks without one"
