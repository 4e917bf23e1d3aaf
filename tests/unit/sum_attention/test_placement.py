"""Facts in prompts of exact length on real tokenizers: planted, and where a document tells them."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from place_record_facts import check_window, place_record_facts

from retrieval_heads.prompts.cells import PlacementError
from retrieval_heads.prompts.haystacks import encode_inner, save, tokenize
from retrieval_heads.prompts.needles import NeedleError
from retrieval_heads.prompts.placement import assemble, cut_pieces
from retrieval_heads.sum_attention.facts import FactError, read_records, read_tasks, state_facts
from retrieval_heads.sum_attention.placement import depth_of, natural, planted, window
from unit.tokenizers_at_hand import NAMES, ROOT, TEMPLATE, tokenizer

FOLDER = ROOT / "resources/sum_attention"
FACTS = state_facts(
    read_records(FOLDER / "records.tsv"),
    read_tasks(FOLDER / "tasks.tsv"),
    ["employee_count", "hq_state", "chief_executive", "flagship_product"],
    share=80,
    seed=0,
    cues=True,
)
# The phantom of the tests knows none of the companies' words.
READERS = [name for name in NAMES if name != "phantom"]


@cache
def haystack(name: str):
    return tokenize("town", (ROOT / "resources/haystacks/town.txt").read_text(encoding="utf-8"), tokenizer(name))


def report(record: str) -> str:
    return (FOLDER / f"reports/{record}.txt").read_text(encoding="utf-8")


@settings(max_examples=60)
@given(
    name=st.sampled_from(READERS),
    fact=st.sampled_from(FACTS),
    lengths=st.lists(st.integers(160, 4000), min_size=1, max_size=3, unique=True),
    depths=st.lists(st.integers(0, 100), min_size=1, max_size=3, unique=True),
)
def test_every_prompt_is_as_long_as_it_says_to_the_token(name, fact, lengths, depths):
    tok, needle = tokenizer(name), fact.needle
    pieces = cut_pieces(needle, tok, TEMPLATE, chat=False)
    for placed in (
        planted(needle, haystack(name), pieces, lengths, depths, repeat=False),
        natural(needle, report(fact.record), haystack(name), pieces, tok, lengths, repeat=False),
    ):
        for prompt in placed.prompts:
            cell = prompt.cell
            assert len(prompt.ids) == cell.prompt_tokens == cell.length
            assert tok.decode(prompt.ids[cell.answer_start : cell.answer_end]).strip() == needle.answer
            assert needle.text in tok.decode(prompt.ids[cell.needle_start : cell.needle_end])
            assert prompt.ids.count(tok.bos_token_id) == 1
            text = tok.decode(prompt.ids, skip_special_tokens=True)
            assert text.endswith(f"Answer: {needle.cue}")
        rows = [asdict(prompt.cell) for prompt in placed.prompts]
        assert assemble(rows, placed.texts, {needle.needle: asdict(placed.pieces)}) == placed.prompts


@pytest.mark.parametrize("name", READERS)
def test_a_natural_fact_keeps_the_documents_own_tokens(name):
    """A prompt much longer than the report holds the report whole, in the tokens of the report as a running text."""
    fact, tok = FACTS[0], tokenizer(name)
    pieces = cut_pieces(fact.needle, tok, TEMPLATE, chat=False)
    prompt = natural(fact.needle, report(fact.record), haystack(name), pieces, tok, [3000], False).prompts[0]
    document = encode_inner(tok, report(fact.record).strip())[0]
    starts = [
        place for place in range(3000 - len(document)) if list(prompt.ids[place : place + len(document)]) == document
    ]
    assert len(starts) == 1
    share = prompt.cell.needle_start / prompt.cell.question_start
    own = report(fact.record).index(fact.needle.text) / len(report(fact.record))
    assert abs(share - own) < 0.05, "padding on both sides leaves the fact at its relative depth"
    assert abs(prompt.cell.depth - 100 * share) <= 1.5


def test_a_window_by_hand():
    """Two tokens in front of the fact and six behind it; the filler is 90 .. 99."""
    before, after, filler = [1, 2], [3, 4, 5, 6, 7, 8], list(range(90, 100))
    assert window(before, after, filler, 4) == ([2, 3, 4, 5], 1), "cut on both sides: a quarter stands in front"
    assert window(before, after, filler, 8) == ([1, 2, 3, 4, 5, 6, 7, 8], 2), "the document itself"
    assert window(before, after, filler, 10) == ([1, 2, 3, 4, 5, 6, 7, 8, 90, 91], 2)
    assert window(before, after, filler, 12) == ([99, 1, 2, 3, 4, 5, 6, 7, 8, 90, 91, 92], 3)
    assert window([], after, filler, 3) == ([3, 4, 5], 0)
    assert window(before, [], filler, 3) == ([99, 1, 2], 3)


@given(before=st.integers(0, 700), after=st.integers(0, 700), room=st.integers(1, 1500))
def test_a_window_fills_its_room_and_can_be_found_again(before, after, room):
    found, point = window([1] * before, [2] * after, [0] * 1500, room)
    assert len(found) == room
    assert sum(token == 1 for token in found) == min(before, point)
    depth = depth_of(point, room)
    assert point == room if depth == 100 else room * depth // 100 >= point


def test_a_document_must_tell_a_fact_once_and_its_answer_nowhere_else():
    fact, tok = FACTS[0], tokenizer("organism")
    pieces = cut_pieces(fact.needle, tok, TEMPLATE, chat=False)
    told = report(fact.record)
    for document, message in (
        (told.replace(fact.needle.text, ""), "stands 0 times in its document"),
        (told + fact.needle.text, "stands 2 times in its document"),
        (
            told + f"Again: {fact.needle.answer}.",
            f"the answer of '{fact.needle.needle}', '{fact.needle.answer}', stands 2",
        ),
    ):
        with pytest.raises(FactError, match=message):
            natural(fact.needle, document, haystack("organism"), pieces, tok, [512], False)


def test_a_length_without_room_and_a_short_haystack_are_refused():
    fact = FACTS[0]
    pieces = cut_pieces(fact.needle, tokenizer("organism"), TEMPLATE, chat=False)
    with pytest.raises(PlacementError, match="lengths: 40 leaves no room for needle"):
        planted(fact.needle, haystack("organism"), pieces, [40], [0], repeat=False)
    with pytest.raises(PlacementError, match="tokens too short for a length of 90000"):
        planted(fact.needle, haystack("organism"), pieces, [90000], [0], repeat=False)
    longest = planted(fact.needle, haystack("organism"), pieces, [90000], [50], repeat=True).prompts[0]
    assert len(longest.ids) == 90000


def test_a_chat_template_counts_too():
    tok, fact = tokenizer("organism"), FACTS[150]
    tok.chat_template = "<s>[user]{{ messages[0]['content'] }}[model]"
    try:
        pieces = cut_pieces(fact.needle, tok, "{context}\n{question}", chat=True)
    finally:
        tok.chat_template = None
    for placed in (
        planted(fact.needle, haystack("organism"), pieces, [300, 301], [50], repeat=False),
        natural(fact.needle, report(fact.record), haystack("organism"), pieces, tok, [300, 301], repeat=False),
    ):
        assert [len(prompt.ids) for prompt in placed.prompts] == [300, 301]
        assert all(tok.decode(prompt.ids).startswith("<s>[user]") for prompt in placed.prompts)


def test_a_prompt_whose_answer_leaves_the_window_is_refused(tmp_path):
    (tmp_path / "model.json").write_text('{"window": 2048}')
    check_window(str(tmp_path / "model.json"), {"lengths": [1000, 1998], "max_new_tokens": 50})
    with pytest.raises(FactError, match=r"sum_attention.lengths: 1999 tokens and 50 new ones .* window of 2048;"):
        check_window(str(tmp_path / "model.json"), {"lengths": [1999], "max_new_tokens": 50})


def test_a_haystack_of_a_package_that_tells_a_fact_is_refused_where_it_is_planted(tmp_path):
    """No text of a package is at hand when the config is checked."""
    book, facts, stored, model = (tmp_path / name for name in ("book.txt", "facts.tsv", "h.npz", "model.json"))
    fact = FACTS[0].needle
    facts.write_text("\n".join("\t".join(row) for row in (vars(fact), [*vars(fact).values()])) + "\n", encoding="utf-8")
    book.write_text(f"They say that {fact.answer} is it.")
    save(stored, {"town": haystack("organism")})
    model.write_text('{"window": null}')
    inputs = SimpleNamespace(model=model, haystacks=stored, facts=facts, texts=[book])
    told = {"lengths": [300], "max_new_tokens": 9, "chat": False}
    wildcards = SimpleNamespace(placement="planted", part="validation")
    with pytest.raises(NeedleError, match=rf"sum_attention\.records: the answer of '{fact.needle}' already stands in"):
        place_record_facts(wildcards, inputs, ROOT / "resources/models/organism", told, None)
