"""The scores of all heads of a model over its cells, and their ranking."""
