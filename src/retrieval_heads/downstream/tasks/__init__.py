"""Tasks of lm-evaluation-harness: their files, items, prompts and the score of a span."""
