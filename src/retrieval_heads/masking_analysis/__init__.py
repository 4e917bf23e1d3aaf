"""Tables over masked runs: success curves, contrasts with random heads, kinds of error, examples."""
