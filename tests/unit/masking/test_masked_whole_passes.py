"""Under masks too every response token is that of a pass over prompt and response so far."""

from __future__ import annotations

import pytest
import rotary_models
import tiny_models
from rotary_models import WINDOW

from retrieval_heads.engine.decoding import StopRule
from retrieval_heads.masking import niah
from retrieval_heads.masking.masks import HeadMask

NEW = 4
HEADS = ((0, 1), (1, 2), (2, 0))
MASKS = {
    "unmasked": HeadMask(()),
    "one": HeadMask(HEADS[:1]),
    "three": HeadMask(HEADS),
    "one from the first token": HeadMask(HEADS[:1], scope="all"),
    "three from the first token": HeadMask(HEADS, scope="all"),
}
# Below the original window, across it while the model answers, at its border, above it.
LENGTHS = (40, WINDOW - 2, WINDOW + 1, 100)


@pytest.mark.parametrize("name", [*rotary_models.BY_LENGTH, "llama yarn"])
def test_head_sets_are_run_as_whole_passes(name):
    loaded, prompts = rotary_models.loaded(name), tiny_models.prompts(lengths=LENGTHS, depths=(50,))
    text = StopRule(loaded).text
    for result in niah.run(loaded, prompts, MASKS, max_new_tokens=NEW, decode_batch=3):
        [prompt] = [one for one in prompts if one.cell == result.cell]
        for set_name, mask in MASKS.items():
            emitted, _ = rotary_models.answer(name, prompt.ids, NEW, mask.heads, mask.scope)
            assert result.responses[set_name] == text(emitted), (prompt.cell.length, set_name)


@pytest.mark.parametrize("name", ["phi3 longrope", "llama dynamic"])
def test_a_draft_that_is_the_answer_is_no_short_cut_across_the_window(name):
    """The needle holds what the model answers, so that the whole answer could be seen in one call."""
    loaded = rotary_models.loaded(name)
    [prompt] = tiny_models.prompts(lengths=(WINDOW - 2,), depths=(50,))
    ids = list(prompt.ids)
    for _ in range(4):  # the answer in the prompt changes the answer; a few rounds bring them close
        ids[prompt.cell.answer_start : prompt.cell.answer_end] = rotary_models.answer(name, ids, NEW)[0][:4]
    drafted = type(prompt)(tuple(ids), prompt.cell)
    [result] = niah.run(loaded, [drafted], {"unmasked": HeadMask(())}, max_new_tokens=NEW, decode_batch=1)
    assert result.responses["unmasked"] == StopRule(loaded).text(rotary_models.answer(name, ids, NEW)[0])
