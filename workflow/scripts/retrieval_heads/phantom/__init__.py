"""The phantom: a model whose retrieval heads are known by construction, to calibrate the measurement with."""
