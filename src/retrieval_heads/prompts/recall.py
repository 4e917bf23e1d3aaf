"""Recall of a needle's answer in a response, and when a cell counts as successful."""

from __future__ import annotations

from functools import lru_cache

from rouge_score.rouge_scorer import RougeScorer

from retrieval_heads.rounding import settled


@lru_cache(maxsize=1)
def _scorer() -> RougeScorer:
    return RougeScorer(["rouge1"], use_stemmer=True)


def rouge1_recall(answer: str, response: str) -> float:
    """ROUGE-1 recall of the answer in the response, percent, with stemming. A cell passes above 50."""
    return 100 * _scorer().score(answer, response)["rouge1"].recall


def passes(recall: float, success_recall: float) -> bool:
    """Whether a cell counts as successful: a recall above `success_recall`, both in percent."""
    return bool(settled(recall) > success_recall)
