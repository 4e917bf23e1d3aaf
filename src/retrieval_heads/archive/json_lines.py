"""Cells as JSON lines, for tools that read no tables."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd

CELL = ["needle", "haystack", "length", "depth"]
# Of a masked run: which heads were masked (head_sets.json has them by name).
MASK = ["head_set", "kind", "k", "seed"]


def records(model: str, table: pd.DataFrame, placement: pd.DataFrame) -> Iterator[str]:
    """One JSON object a row: model, the mask if any, needle, haystack, length, depth, response, score, passed, spans.

    table: cells or runs. placement: the spans of the same cells. score: ROUGE-1 recall of the answer in percent. spans:
    token positions [start, end) of needle, answer and question in the prompt; -1 where the answer was not found.
    """
    spans = [column for column in placement if column not in CELL and column not in table]
    joined = table.merge(placement[[*CELL, *spans]], on=CELL, how="left", validate="many_to_one")
    if "seed" in joined:
        joined["seed"] = pd.to_numeric(joined["seed"]).astype("Int64")
    kept = [*(column for column in MASK if column in table), *CELL, "response"]
    for row in json.loads(joined.to_json(orient="records", force_ascii=False)):
        yield json.dumps(
            {
                "model": model,
                **{column: row[column] for column in kept},
                "score": row["rouge1_recall"],
                "passed": row["passed"],
                "spans": {
                    "needle": [row["needle_start"], row["needle_end"]],
                    "answer": [row["answer_start"], row["answer_end"]],
                    "question": [row["question_start"], row["prompt_tokens"]],
                },
            },
            ensure_ascii=False,
        )
