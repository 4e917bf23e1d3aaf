"""Tables over heads and models: agreement, reliability, thresholds, layers, and the claims of the paper."""
