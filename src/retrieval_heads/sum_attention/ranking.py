"""General retrieval heads: those through which the last prompt token attends to the fact in every task.

A head's score in a task is its mean `attention_sum` (attention of the last prompt token on the answer) over
the cells that the model answered. The heads that are among the top K of every task are the general ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from retrieval_heads.analysis.agreement import agreement
from retrieval_heads.head_scores.ranking import rank_heads
from retrieval_heads.head_scores.scores import CELL, HeadScores, from_table
from retrieval_heads.masking.head_sets import choose_head_sets, resolve_size
from retrieval_heads.rounding import settled

SCORE = "attention_sum"
HEAD = ["layer", "head"]


class SumAttentionError(ValueError):
    """Heads that cannot be ranked or chosen; the message names the task or key and the remedy."""


def rank_task(cells: pd.DataFrame, scores: pd.DataFrame, info: Mapping, task: str) -> pd.DataFrame:
    """rank layer head kv_group score ci_low ci_high cells facts: the heads of one task by mean attention sum.

    cells, scores: the tables of detection. info: of the model (layers, heads, heads_by_layer). Intervals: 95 %,
    percentile bootstrap over facts, then cells. Raises `SumAttentionError` when the model answered no cell.
    """
    passed = cells.loc[cells["passed"], CELL]
    if passed.empty:
        raise SumAttentionError(
            f"sum_attention.tasks: none of {len(cells)} cells of '{task}' was answered (first response: "
            f"{cells['response'].iloc[0]!r}), so there is nothing to rank; remove the task, or try shorter lengths, "
            "cues or models.*.chat"
        )
    groups = {int(layer): tuple(heads) for layer, heads in info["heads_by_layer"].items()}
    found: HeadScores = from_table(scores.merge(passed, on=CELL), SCORE, (info["layers"], info["heads"]), groups)
    ranked = rank_heads(found).rename(columns={"needles": "facts"})
    return ranked[["rank", *HEAD, "kv_group", "score", "ci_low", "ci_high", "cells", "facts"]]


def combine(rankings: Mapping[str, pd.DataFrame], top: int | str) -> pd.DataFrame:
    """layer head mean_score tasks_in_top general, by mean score: the heads over all tasks.

    rankings: task -> ranking. mean_score: mean over tasks of the task's mean. tasks_in_top: in how many tasks the head
    is among the top `top` (a number of heads, or a share such as "5%"). general: in all of them.
    """
    long = pd.concat(rankings.values())
    k = resolve_size(top, len(next(iter(rankings.values()))))
    heads = long.groupby(HEAD).agg(
        mean_score=("score", "mean"), tasks_in_top=("rank", lambda ranks: int((ranks <= k).sum()))
    )
    heads["mean_score"] = settled(heads["mean_score"])
    heads["general"] = heads["tasks_in_top"] == len(rankings)
    return heads.reset_index().sort_values(["mean_score", *HEAD], ascending=[False, True, True], ignore_index=True)


def export(heads: pd.DataFrame, stem: Path) -> None:
    """Write `stem`.csv and `stem`.json: layer, head and mean_score of each head, in the order of `heads`."""
    table = heads[[*HEAD, "mean_score"]].round({"mean_score": 6})
    table.to_csv(stem.with_suffix(".csv"), index=False)
    stem.with_suffix(".json").write_text(json.dumps(table.to_dict("records"), indent=1) + "\n", encoding="utf-8")


def validation_sets(
    heads: pd.DataFrame, lowest: Sequence[int | str], *, random_draws: int, seed: int, layer_matched: bool
) -> list[dict]:
    """Head sets to be masked, as `head_sets.choose_head_sets` makes them: `top`, the general heads; `random`, as many
    that are in no task's top K; `bottom`, the lowest heads by mean score in growing numbers.

    heads: see `combine`. Raises `SumAttentionError` when no head is general or a size is beyond the model.
    """
    general = int(heads["general"].sum())
    if general == 0:
        raise SumAttentionError(
            "sum_attention.top: no head is among the top of every task (most tasks that share one: "
            f"{heads['tasks_in_top'].max()}); raise it, or remove a task"
        )
    if beyond := [size for size in lowest if isinstance(size, int) and size > len(heads)]:
        raise SumAttentionError(f"sum_attention.lowest: {beyond[0]} is more than the {len(heads)} heads of the model")
    # General heads first; `choose_head_sets` draws its controls from heads without a score, here without a task.
    first = heads.sort_values("tasks_in_top", ascending=False, kind="stable").assign(score=heads["tasks_in_top"])
    common = {"seed": seed, "layer_matched": layer_matched}
    chosen = choose_head_sets(first, [general], random_draws=random_draws, bottom=False, threshold=0, **common)
    ranked = heads.assign(score=heads["mean_score"])
    sizes = choose_head_sets(ranked, lowest, random_draws=0, bottom=True, threshold=float("inf"), **common)
    return [*chosen, *(head_set for head_set in sizes if head_set["kind"] == "bottom")]


def task_agreement(rankings: Mapping[str, pd.DataFrame], top: int | str) -> pd.DataFrame:
    """task_a task_b heads pearson spearman k overlap overlap_chance overlap_p: every pair of tasks.

    Columns: `agreement.agreement` over the mean scores of all heads.
    """
    ordered = {task: ranked.sort_values(HEAD)["score"].to_numpy() for task, ranked in rankings.items()}
    rows, tasks = [], list(ordered)
    for place, first in enumerate(tasks):
        for second in tasks[place + 1 :]:
            k = resolve_size(top, len(ordered[first]))
            found = agreement(ordered[first], ordered[second], k, threshold=0)
            rows.append({"task_a": first, "task_b": second, **found})
    columns = ["task_a", "task_b", "heads", "pearson", "spearman", "k", "overlap", "overlap_chance", "overlap_p"]
    return pd.DataFrame(rows, columns=columns)
