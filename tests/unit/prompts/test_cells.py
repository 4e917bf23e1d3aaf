"""What a finished cell is kept by."""

from __future__ import annotations

from retrieval_heads.prompts.cells import Cell, Prompt

PROMPT = Prompt((1, 2, 3), Cell("kite", "town", 256, 0, 1, 3, 1, 2, 3, 3))


def test_the_key_changes_with_tokens_span_and_settings():
    other_span = Prompt(PROMPT.ids, Cell("kite", "town", 256, 0, 1, 3, 1, 3, 3, 3))
    other_tokens = Prompt((1, 2, 4), PROMPT.cell)
    keys = {PROMPT.key("a"), PROMPT.key("b"), other_span.key("a"), other_tokens.key("a")}
    assert len(keys) == 4
    assert PROMPT.key("a") in keys
