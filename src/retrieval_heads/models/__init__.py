"""Load a Hugging Face causal model, read what it is made of, and reach its attention; or refuse it by name."""
