"""Differences of the code released with Wu et al. 2024, each switched on by name; no other study imports them."""
