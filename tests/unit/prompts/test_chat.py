"""Chat templates: reasoning off, one date, the user's turn once or a refusal by name."""

from __future__ import annotations

import copy

import pytest
from tokenizers_at_hand import ROOT, tokenizer

from retrieval_heads.downstream.tasks import harness
from retrieval_heads.prompts.cells import PlacementError
from retrieval_heads.prompts.encoding.chat import render, say_date
from retrieval_heads.prompts.needles import read_needles
from retrieval_heads.prompts.placement import cut_pieces

NEEDLE = read_needles(ROOT / "resources/needles.tsv")["kite"]
TURN = [{"role": "user", "content": "Where is the kite?"}]
LOOP = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
SWITCHES = {
    "Qwen": LOOP + "{% if enable_thinking is defined and enable_thinking is false %}<t></t>{% else %}<t>{% endif %}",
    "Cohere": LOOP + "{% if reasoning is defined and not reasoning %}<t></t>{% else %}<t>{% endif %}",
    "DeepSeek": LOOP + "{{ '<t>' if thinking is not defined or thinking else '<t></t>' }}",
}


def with_template(template: str):
    tok = copy.deepcopy(tokenizer("organism"))
    tok.chat_template, tok.name_or_path = template, "models/mine"
    return tok


@pytest.mark.parametrize("template", SWITCHES.values(), ids=SWITCHES)
def test_reasoning_is_off_in_needle_prompts_and_in_direct_forms(template):
    tok = with_template(template)
    pieces = cut_pieces(NEEDLE, tok, "{context}\n{question}{cue}", True)
    assert f"<t></t>{NEEDLE.cue}" in tok.decode(pieces.tail)
    assert harness.chat_template(tok, False)(TURN).endswith("<t></t>")
    assert harness.chat_template(tok, True)(TURN).endswith("<t>")


def test_a_block_that_is_always_opened_is_closed():
    tok = with_template(LOOP + "[assistant]<think>\n")
    assert render(tok, TURN, think_end="</think>").endswith("[assistant]<think>\n\n</think>\n\n")
    assert render(tok, TURN, think_end="</think>", thinking=True).endswith("[assistant]<think>")
    assert render(with_template(LOOP), TURN, think_end="</think>").endswith("kite?\n")


UNSWITCHED = {
    LOOP + "{{ reasoning_effort }}": ("</think>", "reads 'reasoning_effort', which no true or false turns off, and no"),
    LOOP + "{% if thinking_budget == 1 %}a{% endif %}": ("</t>", "reads 'thinking_budget', which no true or false tu"),
    LOOP: (
        "<END>",
        "has no switch for reasoning, and no block that '<END>' ends is open behind it; take think_end out",
    ),
}


@pytest.mark.parametrize("template", UNSWITCHED, ids=range(len(UNSWITCHED)))
def test_reasoning_that_cannot_be_kept_off_is_refused_with_the_key(template):
    end, message = UNSWITCHED[template]
    tok = with_template(template)
    with pytest.raises(PlacementError, match=rf"models\.\*\.think_end: the chat template of 'models/mine' {message}"):
        render(tok, TURN, think_end=end)
    render(tok, TURN)
    render(tok, TURN, think_end=end, thinking=True)
    opened = with_template(template + "<think>")
    assert render(opened, TURN, think_end="</think>").endswith("<think>\n\n</think>\n\n")


def test_a_template_gets_the_date_of_the_study_and_it_is_said(caplog):
    tok = with_template("Today is {{ strftime_now('%d %b %Y') }}. " + LOOP)
    for date, text in (("2025-01-01", "01 Jan 2025"), ("2024-07-26", "26 Jul 2024"), ("2025-01-01", "01 Jan 2025")):
        assert render(tok, TURN, date=date).startswith(f"Today is {text}. ")
        head = cut_pieces(NEEDLE, tok, "{context}\n{question}", True, date=date).head
        assert text in tok.decode(head)
        assert harness.chat_template(tok, False, date=date)(TURN).startswith(f"Today is {text}. ")
    say_date(tok, "2024-07-26")
    say_date(with_template(LOOP), "2024-07-26")
    assert [record.getMessage() for record in caplog.records] == [
        "the chat template of 'models/mine' writes a date: it is 2024-07-26 in every prompt (prompt.date)"
    ]


REFUSED = {
    LOOP + LOOP: "shows the user's turn 2 times",
    "Hello.": "does not show the user's turn",
    **{
        f"{{% for m in messages %}}{{{{ m['content'] {change} }}}}{{% endfor %}}": "changes the user's turn"
        for change in (
            "| upper",
            "| lower",
            "| capitalize",
            "| tojson",
            "| e",
            "| replace('\n', ' ')",
            ".split() | join(' ')",
            "| truncate(500)",
        )
    },
    "{% if messages[0]['role'] != 'system' %}{{ raise_exception('System turn required.') }}{% endif %}" + LOOP: (
        r"refuses a conversation of one user's turn \(System turn required\)"
    ),
    "{{ messages[1]['content'] }}": r"refuses a conversation of one user's turn \(.*\)|does not show the user's turn",
    "{% for": r"refuses a conversation of one user's turn \(.*\)",
    "{{ nothing.at.all }}": r"refuses a conversation of one user's turn \(.*\)",
}


@pytest.mark.parametrize(("template", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_a_template_that_loses_repeats_or_refuses_the_turn_is_named(template, message):
    tok = with_template(template)
    asks = (
        lambda: harness.chat_template(tok, False),
        lambda: cut_pieces(NEEDLE, tok, "{context}\n{question}", True),
    )
    for ask in asks:
        with pytest.raises(PlacementError, match=f"chat template of 'models/mine' ({message}); set models") as raised:
            ask()
        assert "\n" not in str(raised.value)


def test_without_a_template_the_key_is_named():
    with pytest.raises(PlacementError, match=r"models.*.chat is true, but the tokenizer has no chat template"):
        harness.chat_template(with_template(""), False)
    several = with_template("")
    several.chat_template = {"rag": LOOP, "tool_use": LOOP}
    with pytest.raises(PlacementError, match=r"the chat template of 'models/mine' cannot be chosen \(.*\); set models"):
        cut_pieces(NEEDLE, several, "{context}\n{question}", True)
