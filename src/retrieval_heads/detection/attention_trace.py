"""What chosen heads attend to while the model answers one cell: one decode step as a table, all steps as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from retrieval_heads.detection.scores import copy_hits
from retrieval_heads.engine.prefill import PrefixCache
from retrieval_heads.engine.shared_prefix import branched
from retrieval_heads.engine.single_steps import greedy, greedy_steps, whole_passes
from retrieval_heads.models.loading import Loaded
from retrieval_heads.prompts.cells import Cell, Prompt

Head = tuple[int, int]
# Positions outside the needle are pooled to so many fields of equal width: more are not told apart on paper.
FIELDS = 128


class RowRecorder:
    """Listener of `shared_prefix.branched` for one row: keeps the attention rows of some heads, float32 on the CPU.

    rows: head -> one array a token that passed, [keys], over the whole sequence as seen from that token.
    """

    def __init__(self, heads: Sequence[Head]):
        self.rows: dict[Head, list[np.ndarray]] = {head: [] for head in heads}

    def __call__(self, layer: int, rows: torch.Tensor, first: int, values: tuple[torch.Tensor, ...]) -> None:
        """Take one layer's rows [1, heads, queries, keys]; keys that a sliding window left behind get 0."""
        for own, head in self.rows:
            if own == layer:
                found = rows[0, head].float().cpu().numpy()
                self.rows[own, head] += list(np.pad(found, ((0, 0), (first, 0))))


def choose_cell(runs: pd.DataFrame) -> pd.Series:
    """The cell to trace: of those answered best unmasked the length next to the median, then the depth next to 50 %.

    runs: the table of masked runs. Of equals the first in the table.
    """
    plain = runs[runs["kind"] == "none"]
    best = plain[plain["rouge1_recall"] == plain["rouge1_recall"].max()]
    far = pd.DataFrame({"length": best["length"] - plain["length"].median(), "depth": best["depth"] - 50}).abs()
    return best.loc[far.sort_values(["length", "depth"], kind="stable").index[0]]


def choose_heads(ranking: pd.DataFrame, top: int) -> list[Head]:
    """The `top` best heads, and for contrast the last of the ranking. ranking: layer and head, the best first."""
    chosen = pd.concat([ranking.head(top), ranking.tail(1)])
    return [(int(layer), int(head)) for layer, head in chosen[["layer", "head"]].drop_duplicates().to_numpy()]


@dataclass(frozen=True)
class Answered:
    """One cell, answered while heads were recorded.

    emitted: token ids. rows: head -> one array a step, attention over all positions up to it. peaks: position attended
    to most, int [steps, heads]. hits: bool [steps, heads], the peak lies in the answer and holds the emitted token.
    texts: token id -> text.
    """

    cell: Cell
    heads: tuple[Head, ...]
    ids: tuple[int, ...]
    emitted: list[int]
    rows: Mapping[Head, list[np.ndarray]]
    peaks: np.ndarray
    hits: np.ndarray
    texts: Mapping[int, str]


def answer(loaded: Loaded, prompt: Prompt, heads: Sequence[Head], max_new_tokens: int) -> Answered:
    """Answer one cell greedily and record the attention of `heads` at every step."""
    recorder = RowRecorder(heads)
    emitted = _answer(loaded, prompt.ids, recorder, max_new_tokens)
    span = (prompt.cell.answer_start, prompt.cell.answer_end)
    peaks = np.array([[row.argmax() for row in steps] for steps in recorder.rows.values()]).T
    hits = copy_hits(peaks[:, None], emitted, prompt.ids, span)[:, 0]
    ids = (*prompt.ids, *emitted)
    texts = {token: loaded.tokenizer.decode([token]) for token in set(ids)}
    return Answered(prompt.cell, tuple(heads), ids, emitted, recorder.rows, peaks, hits, texts)


def trace(answered: Answered, heads: Sequence[Head], copying: int) -> pd.DataFrame:
    """What `heads` attend to at the step at which most of the first `copying` heads copy (the first such step).

    One row a head and field of positions, with the columns of `_fields` and: layer, head, step, token (emitted text),
    peak (position attended to most), peak_token, copied (the peak lies in the answer and holds the emitted token).
    """
    columns = [answered.heads.index(head) for head in heads]
    step = int(answered.hits[:, columns[:copying]].sum(1).argmax())
    parts = []
    for place, (layer, head) in zip(columns, heads, strict=True):
        peak = int(answered.peaks[step, place])
        own = {"layer": layer, "head": head, "step": step, "token": answered.texts[answered.emitted[step]]}
        own |= {"peak": peak, "peak_token": answered.texts[answered.ids[peak]]}
        own["copied"] = bool(answered.hits[step, place])
        parts.append(_fields(answered.rows[layer, head][step], answered).assign(**own))
    return pd.concat(parts, ignore_index=True)


def patterns(answered: Answered) -> dict:
    """The attention of all recorded heads at every step as JSON-able values, for a page on which one chooses a head.

    cell: needle, length, depth. steps: emitted texts. fields: pooled positions of the prompt, [start, end, region,
    text].
    heads: for each its name "layer-head", attention [steps][fields] in thousandths, and copied [steps].
    """
    tokens = answered.cell.prompt_tokens
    fields = _fields(answered.rows[answered.heads[0]][0], answered)
    starts = fields["start"].to_numpy()
    found = []
    for place, head in enumerate(answered.heads):
        sums = [np.add.reduceat(row[:tokens], starts) for row in answered.rows[head]]
        thousandths = [(1000 * row).round().astype(int).tolist() for row in sums]
        copied = answered.hits[:, place].tolist()
        found.append({"name": f"{head[0]}-{head[1]}", "attention": thousandths, "copied": copied})
    return {
        "cell": {name: getattr(answered.cell, name) for name in ("needle", "length", "depth")},
        "steps": [answered.texts[token] for token in answered.emitted],
        "fields": fields[["start", "end", "region", "text"]].to_numpy().tolist(),
        "heads": found,
    }


def _answer(loaded: Loaded, ids: Sequence[int], recorder: RowRecorder, max_new_tokens: int) -> list[int]:
    """Greedy ids, and the rows of every token that emits one."""
    if not loaded.info.rotary.same_frequencies(len(ids), len(ids) + max_new_tokens):
        return greedy_steps(loaded, whole_passes(loaded, ids, [recorder]), max_new_tokens=max_new_tokens)[0]
    prefix = PrefixCache(loaded)
    prefix.prefill(ids[:-1], whole=len(ids))
    with branched(loaded, prefix.cache, listeners=[recorder]) as branch:
        return greedy(loaded, branch, ids[-1], max_new_tokens=max_new_tokens)[0]


def _needle(cell: Cell) -> tuple[int, int]:
    return cell.needle_start, cell.needle_end


def _fields(row: np.ndarray, answered: Answered) -> pd.DataFrame:
    """start end region text attention: positions [start, end) of a row [keys] and the attention on them, 0..1 in all.

    Every token of the needle is a field of its own, with its text; the rest is pooled to about `FIELDS` fields.
    region: haystack, needle, answer (inside the needle), question or response.
    """
    cell = answered.cell
    width = max(1, -(-len(row) // FIELDS))
    borders = {0, cell.question_start, cell.prompt_tokens, len(row), *range(*_needle(cell)), cell.needle_end}
    edges = sorted(borders | {edge for edge in range(0, len(row), width) if edge not in range(*_needle(cell))})
    edges = [edge for edge in edges if edge <= len(row)]
    starts, ends = np.array(edges[:-1]), np.array(edges[1:])
    regions = np.select(
        [
            (starts >= cell.answer_start) & (starts < cell.answer_end),
            (starts >= cell.needle_start) & (starts < cell.needle_end),
            starts >= cell.prompt_tokens,
            starts >= cell.question_start,
        ],
        ["answer", "needle", "response", "question"],
        default="haystack",
    )
    sums = np.add.reduceat(row, starts)
    return pd.DataFrame(
        {
            "start": starts,
            "end": ends,
            "region": regions,
            "text": [answered.texts[answered.ids[start]] if start in range(*_needle(cell)) else "" for start in starts],
            "attention": sums,
        }
    )
