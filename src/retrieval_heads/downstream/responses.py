"""The items of a task asked under many head sets: batches, and what is kept of each response.

A response is kept whole, as {"text", "tokens", "cut"} where the model wrote, and as {"loglikelihood", "greedy"} (a list
over the item's requests) where continuations were weighed. Reading an answer out of it is the scorer's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import Any

from lm_eval.api.instance import Instance

from retrieval_heads.downstream.lm.masked import MaskedLM
from retrieval_heads.downstream.lm.padded_batches import batches
from retrieval_heads.masking.masks import Masks
from retrieval_heads.models.out_of_memory import Halving

# Tokens that are weighed in one block: their logits are held in float32. The harness takes the model's whole window.
ROLLING_WINDOW = 512


class DownstreamError(ValueError):
    """A downstream run that cannot be; the message names the config key and the remedy."""


@dataclass(frozen=True)
class Question:
    """One item of a task as the harness asks it: `kind` of its requests, and the arguments of each."""

    item: str
    kind: str
    arguments: tuple[tuple[Any, ...], ...]


def questions(items: Sequence[dict], requests: Sequence[Sequence[Instance]]) -> list[Question]:
    """The questions of all items; raises `DownstreamError` for requests that are neither text nor likelihood."""
    asked = []
    for item, instances in zip(items, requests, strict=True):
        kind = instances[0].request_type
        if kind not in ("generate_until", "loglikelihood", "loglikelihood_rolling"):
            raise DownstreamError(f"downstream.tasks: requests of the type '{kind}' cannot be asked; remove the task")
        asked.append(Question(item["item"], kind, tuple(instance.args for instance in instances)))
    return asked


def ask(
    lm: MaskedLM, asked: Sequence[Question], masks: Masks, batch: int, *, whole_text: bool = False
) -> Iterator[tuple[Question, dict[str, dict]]]:
    """Yield each question with its response under every head set as it is done, `batch` at a time, long ones first.

    whole_text: no stop string ends a response, because the model's reasoning may hold one.
    """
    in_halves = Halving("questions", "downstream.batch or downstream.longest")
    left = sorted(asked, key=lambda question: -len(question.arguments[0][0]))
    if left and left[0].kind == "generate_until":
        # Asked again after a shortage of memory, it goes on with what is left.
        yield from in_halves.streamed(batch, lambda size: _write(lm, left, masks, whole_text, size))
        return
    lengths = [len(lm.lm.tok_encode(question.arguments[0][0])) for question in left]
    for part in batches(lengths, batch):
        yield from zip(left[part], in_halves(left[part], lambda some: _weigh(lm, some, masks)), strict=True)


def _write(
    lm: MaskedLM, left: list[Question], masks: Masks, whole_text: bool, batch: int
) -> Iterator[tuple[Question, dict[str, dict]]]:
    """Yield each question that is left, and take it off the list, with what the model writes under every head set."""
    options = left[0].arguments[0][1]
    if options.get("do_sample"):
        raise DownstreamError("downstream.tasks: a task that samples has no paired test; choose one that does not")
    until, asked = options.get("until") or [], list(left)
    written = lm.generate(
        [question.arguments[0][0] for question in asked],
        masks,
        until=[] if whole_text else [until] if isinstance(until, str) else until,
        max_new_tokens=options.get("max_gen_toks", lm.lm.max_gen_toks),
        batch=batch,
    )
    for place, found in written:
        left.remove(asked[place])
        yield asked[place], {name: asdict(response) for name, response in found.items()}


def _weigh(lm: MaskedLM, part: Sequence[Question], masks: Masks) -> list[dict[str, dict]]:
    """Likelihoods of each question's requests; those of a rolling one are the windows of its text, one at a time."""
    rolling = part[0].kind == "loglikelihood_rolling"
    split: Callable = windows if rolling else lambda lm, *pair: [lm.encode(*pair)]
    pairs = [[pair for arguments in question.arguments for pair in split(lm, *arguments)] for question in part]
    together = list(chain(*pairs))
    rows: dict[str, list] = {name: [] for name in masks}
    step = 1 if rolling else len(part)
    for start in range(0, len(together), step):
        for name, found in lm.loglikelihoods(together[start : start + step], masks).items():
            rows[name] += found
    weighed = {name: [_weighed(own, rolling) for own in _shared_out(found, pairs)] for name, found in rows.items()}
    return [{name: own[place] for name, own in weighed.items()} for place in range(len(part))]


def _shared_out(rows: list, pairs: Sequence[Sequence]) -> Iterator[list]:
    """The rows of each question, of which there are as many as it has pairs."""
    remaining = iter(rows)
    return (list(islice(remaining, len(own))) for own in pairs)


def _weighed(rows: Sequence[tuple[float, bool]], rolling: bool) -> dict:
    likely = [row[0] for row in rows]
    return {"loglikelihood": [sum(likely)] if rolling else likely, "greedy": [row[1] for row in rows]}


def windows(lm: MaskedLM, text: str, tokens: int | None = None) -> list[tuple[list[int], list[int]]]:
    """A text (its first `tokens` tokens) as (context, continuation) pairs: each token once, after one of context.

    The first pair's context is what opens a text, or the text's own first token where nothing does.
    """
    prefix, ids = lm.lm.prefix(), lm.lm.tok_encode(text, add_special_tokens=False)[:tokens]
    if not prefix:
        prefix, ids = ids[:1], ids[1:]
    size = min(ROLLING_WINDOW, lm.lm.max_length - len(prefix))
    parts = [ids[start : start + size] for start in range(0, len(ids), size)]
    return list(zip([prefix, *([part[-1]] for part in parts)], parts, strict=False))
