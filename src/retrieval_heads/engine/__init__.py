"""Prefill, reuse of prefills, greedy decoding, and the attention weights read on the way."""
