"""Tables over cells, heads and models: agreement, reliability, thresholds, curves (docs/method.md#statistics)."""
