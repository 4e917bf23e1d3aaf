"""What a study costs: memory, 80 GB cards, tokens, hours (docs/costs.md). Snakemake asks, so no library is needed."""
