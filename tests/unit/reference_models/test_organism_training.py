"""The organisms before and while they are trained: their hints, what is dropped, and the lessons in the tasks."""

from __future__ import annotations

import pytest
import torch

from retrieval_heads.reference_models.organism.architectures import LLAMA_HINT, LOOKS_BACK, QWEN3_HINT, llama, qwen3
from retrieval_heads.reference_models.organism.lessons import IGNORED
from retrieval_heads.reference_models.organism.task_lessons import TaskLessons
from retrieval_heads.reference_models.organism.tokenizer import train_tokenizer
from retrieval_heads.reference_models.organism.training import heads_dropped
from unit.tokenizers_at_hand import ROOT, tokenizer

TASKS = ROOT / "workflow/tasks"
# What the two forms of a task leave to be answered.
FORMS_END = ("The answer is", "Let's think step by step.")


@pytest.fixture(scope="module")
def small_tokenizer():
    return train_tokenizer(512, 0, lessons=50)


@pytest.mark.parametrize(("architecture", "layer"), [(llama, LLAMA_HINT), (qwen3, QWEN3_HINT)])
def test_an_untrained_organism_looks_one_two_and_three_tokens_back(architecture, layer, small_tokenizer):
    model = architecture(small_tokenizer, 0, 256).eval()
    model.set_attn_implementation("eager")
    ids = torch.randint(len(small_tokenizer), (1, 200), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        rows = model(ids, output_attentions=True).attentions[layer][0]  # [head, query, key]
    here = torch.arange(10, 200)
    for head, back in enumerate(LOOKS_BACK):
        assert (rows[head, 10:].argmax(-1) == here - back).float().mean() > 0.8, f"head {head}"
    assert (rows[5, 10:].argmax(-1) == here - 1).float().mean() < 0.5, "a head without a hint"


def test_one_head_of_layer_0_is_dropped_in_a_share_of_the_rows(small_tokenizer):
    model = llama(small_tokenizer, 0, 256)
    seen = []
    projection = model.model.layers[0].self_attn.o_proj
    ids = torch.randint(len(small_tokenizer), (400, 8))
    with torch.no_grad(), heads_dropped(model, 0.25):
        after = projection.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].unflatten(-1, (6, 64))))
        model.model(ids)
        after.remove()
    left_out = (seen[0] == 0).all(-1).all(1)  # [row, head]
    assert set(left_out.sum(1).tolist()) == {0, 1}
    assert 0.15 < left_out.any(1).float().mean() < 0.35
    assert left_out.any(0).all(), "every head in its turn"
    assert not projection._forward_pre_hooks


def test_lessons_in_tasks_ask_for_the_answer_and_the_end():
    tok = tokenizer("organism")
    lessons, asked = TaskLessons(tok, TASKS, seed=0), set()
    for _ in range(40):
        ids, targets = lessons.batch(1000)
        assert ids.numel() <= 1000 + ids.shape[1] * 2
        for row, wanted in zip(ids, targets, strict=True):
            learned = wanted != IGNORED
            assert (row == tok.bos_token_id).sum() == 1
            prompt, answer = tok.decode(row[: learned.nonzero()[0] + 1]), tok.decode(wanted[learned])
            assert answer.endswith(f".{tok.eos_token}")
            kind = next(mark for mark in ("How many", "\nA. ", "town that", f"{tok.bos_token}The ") if mark in prompt)
            asked.add((kind, prompt.rsplit("\nAnswer: ")[-1] if "\nAnswer: " in prompt else "a fact"))
    forms = {(kind, cue) for kind in ("How many", "\nA. ", "town that") for cue in FORMS_END}
    assert asked == {*forms, (f"{tok.bos_token}The ", "a fact")}
