"""Prefill once, continue many times, and read every head on the way: what detection and masked runs are made of."""
