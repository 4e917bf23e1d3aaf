"""Scorer of the task files whose answer is a span of text."""

from retrieval_heads.downstream.tasks.spans import exact_match, token_f1


def process_results(doc: dict, results: list[str]) -> dict[str, float]:
    """Token F1 and exact match of the response against the best of the answer and its aliases, each 0 to 1."""
    answers = [doc["answer"], *doc["answer_aliases"]]
    return {"f1": token_f1(results[0], answers), "em": exact_match(results[0], answers)}
