"""Retrieval scores of every head while the model answers needle prompts."""
