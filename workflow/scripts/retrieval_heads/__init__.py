"""Find, prove and explain retrieval heads in language models.

The core of the workflow as an importable package: it knows tokens, tensors and tables, and nothing of Snakemake or
of paths that it was not given. Nothing is imported here, so that `retrieval_heads.configuration` stays light enough
for the Snakefile and no table or figure has to load torch.
"""
