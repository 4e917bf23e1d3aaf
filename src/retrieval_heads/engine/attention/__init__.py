"""Attention of new tokens behind a cache, with and without their rows of weights."""
