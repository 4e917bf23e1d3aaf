"""The phantom: a Llama whose retrieval heads are known by construction."""
