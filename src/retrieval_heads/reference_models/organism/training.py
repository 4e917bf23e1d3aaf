"""Training of the organism: courses of stages, each course under one cycle of the learning rate.

Positions start at a random offset in a part of the batches, so that the whole window is known.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch.nn.functional import cross_entropy

from retrieval_heads.reference_models.organism.lessons import IGNORED, Lessons, Stage

# Steps between two rows of the log.
LOGGED = 25


@dataclass(frozen=True)
class Course:
    """Stages under one cycle of the learning rate. peak: share of the optimisers' rates at its height."""

    peak: float
    stages: tuple[Stage, ...]

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)


BOOKS = Stage("books", 400, 6, 1216, (60, 320), (1, 8), quotes=8, decoys=4)
COURSES = (
    Course(
        1.0,
        (
            Stage("copy", 300, 32, 64, (0, 0), (0, 0)),
            Stage("pages", 200, 24, 208, (0, 30), (1, 3), quotes=2),
            Stage("chapters", 200, 12, 480, (10, 90), (1, 5), quotes=5, decoys=3),
            BOOKS,
        ),
    ),
    # Without it, one previous-token head carries everything and random controls that hold it fail.
    Course(0.3, (replace(BOOKS, name="heads dropped", steps=120, dropped=0.5),)),
)


def optimizers(model) -> list[torch.optim.Optimizer]:
    """Muon on the matrices of the layers, AdamW on embeddings and norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=4e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def learning_rate(step: int, steps: int) -> float:
    """Share of the peak rate: a short warm-up, a plateau, and a linear fall over the last two fifths."""
    return min(1.0, (step + 1) / 50, max(0.02, (steps - step) / (0.4 * steps)))


def answer_loss(model, ids: torch.Tensor, targets: torch.Tensor, offset: int) -> tuple[torch.Tensor, float]:
    """Mean cross-entropy on the answer tokens, and the share of them that were predicted right."""
    positions = torch.arange(offset, offset + ids.shape[1])[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        learned = targets != IGNORED
        logits = model.lm_head(hidden[learned])
    loss = cross_entropy(logits.float(), targets[learned])
    return loss, (logits.argmax(-1) == targets[learned]).float().mean().item()


@contextmanager
def heads_dropped(model, share: float) -> Iterator[None]:
    """Leave out one head of layer 0, another one each time, in about `share` of the rows of a batch.

    So that no single head of it is needed: https://arxiv.org/abs/2004.13342 drops heads of all layers.
    """
    projection, heads = model.model.layers[0].self_attn.o_proj, model.config.num_attention_heads

    def drop(_, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        outputs = inputs[0].unflatten(-1, (heads, -1))
        rows = len(outputs)
        left_out = torch.nn.functional.one_hot(torch.randint(heads, (rows,)), heads).bool()
        left_out &= (torch.rand(rows) < share)[:, None]
        return (outputs.masked_fill(left_out[:, None, :, None], 0).flatten(-2),)

    hook = projection.register_forward_pre_hook(drop)
    try:
        yield
    finally:
        hook.remove()


def train(model, tokenizer, seed: int, courses: tuple[Course, ...]) -> Iterator[dict]:
    """Train in place; yields a row of the log every 25 steps and at the end.

    A row: step, tokens, stage, context tokens, loss in nats, share of right answer tokens, seconds.
    """
    step, tokens, begun = 0, 0, time.monotonic()
    last = sum(course.steps for course in courses)
    for number, course in enumerate(courses):
        for row in _attend(model, tokenizer, seed + number, course):
            tokens, step = tokens + row.pop("batch_tokens"), step + 1
            if step % LOGGED == 0 or step == last:
                yield {"step": step, "tokens": tokens, **row, "seconds": round(time.monotonic() - begun, 1)}


def _attend(model, tokenizer, seed: int, course: Course) -> Iterator[dict]:
    """Train through one course; yields a row every step."""
    torch.manual_seed(seed)
    lessons, chance = Lessons(tokenizer, seed), random.Random(seed)
    optimisers = optimizers(model)
    groups = [group for optimiser in optimisers for group in optimiser.param_groups]
    peaks = [course.peak * group["lr"] for group in groups]
    model.train()
    for step, stage in enumerate(chain(*([stage] * stage.steps for stage in course.stages))):
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * learning_rate(step, course.steps)
        ids, targets = lessons.batch(stage)
        room = model.config.max_position_embeddings - ids.shape[1]
        offset = chance.randint(0, room) if chance.random() < 0.3 else 0
        with heads_dropped(model, stage.dropped):
            loss, right = answer_loss(model, ids, targets, offset)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        yield {
            "stage": stage.name,
            "batch_tokens": ids.numel(),
            "context_tokens": ids.shape[1],
            "loss": round(loss.item(), 4),
            "answer_tokens_right": round(right, 4),
        }
