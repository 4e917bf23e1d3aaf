"""Checkpoints out of GGUF files."""
