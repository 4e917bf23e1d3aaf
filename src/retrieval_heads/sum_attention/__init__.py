"""Heads ranked by attention sum over the facts of made-up records, in several tasks."""
