"""Tasks of lm-evaluation-harness: which there are, their items, their prompts, the score of a span."""
