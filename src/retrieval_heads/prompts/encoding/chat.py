"""A model's chat template, rendered the same way for needle, sum-attention and downstream prompts.

A switch for a block of reasoning is off unless it is asked for, and a template that writes today's date gets one date
for the whole study. Templates that lose, repeat or refuse the user's turn are refused by name.
"""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2.meta import find_undeclared_variables
from transformers.utils.chat_template_utils import _compile_jinja_template

from retrieval_heads.prompts.cells import PlacementError
from retrieval_heads.prompts.encoding.plain_text import refuse_control_tokens

# Config `prompt.date` when it is left out: any day will do, as long as it is the same one in every prompt.
DATE = "2025-01-01"
CLOCK = "strftime_now"
REMEDY = "set models.*.chat to false, or give the folder a chat template that shows the user's turn once, as it is"
# Stands for a turn while a template is tried; no tokenizer ever sees it.
_MARK = "\u241e"
# A turn with all that a filter may change in it, and longer than one may cut it to.
_PROBE = f'a{_MARK}B  c\n\n\t"d" < & \' \\ ' + "e " * 4000 + "f"
# What templates call the switch of a block of reasoning: Qwen, GLM, SmolLM; DeepSeek, Granite; Cohere.
SWITCHES = ("enable_thinking", "thinking", "reasoning")


def say_date(tokenizer: Any, date: str) -> None:
    """Log the day that stands in the prompts, where the chat template asks for today's date."""
    if CLOCK in _template(tokenizer):
        logging.getLogger(__name__).warning(
            "the chat template of '%s' writes a date: it is %s in every prompt (prompt.date)",
            tokenizer.name_or_path,
            date,
        )


def _template(tokenizer: Any) -> str:
    if not tokenizer.chat_template:
        raise PlacementError("models.*.chat is true, but the tokenizer has no chat template; set it to false")
    try:
        return tokenizer.get_chat_template()
    except ValueError as error:
        raise _refused(tokenizer, f"cannot be chosen ({_line(error)})") from error


def render(
    tokenizer: Any,
    messages: Sequence[Mapping[str, str]],
    *,
    date: str = DATE,
    thinking: bool = False,
    think_end: str | None = None,
    answer: bool = True,
) -> str:
    """The text of a conversation in the model's chat template. Raises `PlacementError` when the template refuses it.

    date: the day that the template takes for today (YYYY-MM-DD). thinking: the model may open a block of reasoning;
    otherwise the switches that templates know are off, and a block that is opened all the same is closed by
    `think_end`. answer: the assistant's turn comes next, else the last message is one that goes on.
    """
    template = _template(tokenizer)
    for message in messages:
        refuse_control_tokens(tokenizer, message["content"])
    today = datetime.date.fromisoformat(date)
    try:
        # The compiled template is cached by transformers, which renders this very object.
        _compile_jinja_template(template).globals[CLOCK] = today.strftime
        text = tokenizer.apply_chat_template(
            list(messages),
            tokenize=False,
            chat_template=template,
            add_generation_prompt=answer,
            continue_final_message=not answer,
            **dict.fromkeys(SWITCHES, thinking),
        )
    except Exception as error:  # a template raises whatever it likes
        raise _refused(tokenizer, f"refuses a conversation of one user's turn ({_line(error)})") from error
    if thinking or think_end is None or not answer:
        return text
    begin = think_end.replace("/", "", 1)
    if begin != think_end and text.rstrip().endswith(begin):
        return f"{text.rstrip()}\n\n{think_end}\n\n"
    _check_switch(tokenizer, template, think_end)
    return text


def _check_switch(tokenizer: Any, template: str, think_end: str) -> None:
    """Raise `PlacementError` where a template may reason and nothing here keeps it from that."""
    read = find_undeclared_variables(_compile_jinja_template(template).environment.parse(template))
    others = sorted(name for name in read if re.search("think|reason", name))
    if read & {*SWITCHES} or ("/" in think_end and not others):
        return
    how = f"reads '{others[0]}', which no true or false turns off" if others else "has no switch for reasoning"
    raise PlacementError(
        f"models.*.think_end: the chat template of '{tokenizer.name_or_path}' {how}, and no block that '{think_end}' "
        f"ends is open behind it; take think_end out, or give the folder a template that reads {SWITCHES[0]}"
    )


def check_template(tokenizer: Any, date: str = DATE) -> None:
    """Raise `PlacementError` unless the chat template shows the user's turn exactly once, as it is."""
    _once(tokenizer, render(tokenizer, [{"role": "user", "content": _PROBE}], date=date), _PROBE)


def split_turn(tokenizer: Any, turn: tuple[str, str], *, date: str = DATE, **options) -> tuple[str, str]:
    """The rendered texts before and behind a place inside the user's turn, which is given as the texts around it.

    date, options: of `render`. Raises `PlacementError` unless the template shows the turn once, as it is.
    """
    check_template(tokenizer, date)
    text = render(tokenizer, [{"role": "user", "content": turn[0] + _MARK + turn[1]}], date=date, **options)
    _once(tokenizer, text, _MARK)
    head, tail = text.split(_MARK)
    return head, tail


def _once(tokenizer: Any, text: str, turn: str) -> None:
    if (times := text.count(turn)) != 1:
        otherwise = "changes" if _MARK in text else "does not show"
        how = f"shows the user's turn {times} times" if times else f"{otherwise} the user's turn"
        raise _refused(tokenizer, how)


def _refused(tokenizer: Any, what: str) -> PlacementError:
    return PlacementError(f"the chat template of '{tokenizer.name_or_path}' {what}; {REMEDY}")


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__
